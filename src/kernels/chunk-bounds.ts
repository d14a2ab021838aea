// chunk-bounds: smallest and largest key of every chunk that a compression touched, before the queries read them.

import shader from "../../shaders/chunk-bounds.wgsl?raw";
import boundCodes from "../../shaders/lib/bound-codes.wgsl?raw";
import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import lanesLib from "../../shaders/lib/lanes.wgsl?raw";
import readInfo from "../../shaders/lib/read-info.wgsl?raw";
import selectionLib from "../../shaders/lib/selection.wgsl?raw";
import turnChannels from "../../shaders/lib/turn-channels.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface ChunkBoundsArgs {
  readonly info: BufferView;
  readonly step: BufferView; // CompressStep of the compression that went before
  readonly reading: BufferView; // ReadInfo
  readonly table: BufferView; // the layer's, with its means
  readonly bounds: BufferView; // sparse: (G, 2, D, pairs) u32, else (G, D + 1, pairs)
  readonly selection: BufferView; // heads' parts, then (H, D)
  readonly pool: readonly GPUBuffer[];
}

/** Slots that a workgroup decodes at once. */
const BATCH = 8;

/** `pairs` of chunks that the compression can have touched, of each kv head. */
export function bindChunkBounds(gpu: Gpu, geometry: CacheGeometry, args: ChunkBoundsArgs): { record(recorder: Recorder, pairs: number): void } {
  const spec = {
    name: "chunk-bounds",
    code: [compressStep, selectionLib, readInfo, boundCodes, turnChannels, shader, lanesLib],
    bindings: ["uniform", "uniform", "uniform", "read", "write", "write"] as const,
    workgroup: 64,
    literals: { BATCH, TURNED: BATCH * geometry.headSize },
  };
  const buffers = [args.info, args.step, args.reading, args.table, args.bounds, args.selection];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers, { pool: { access: "read", segments: args.pool } });
  return { record: (recorder, pairs) => recorder.dispatch(kernel, group, pairs, geometry.kvHeads) };
}

// select-chunks: which chunks each kv head reads, from their scores.

import lanesLib from "../../shaders/lib/lanes.wgsl?raw";
import leftOut from "../../shaders/lib/left-out.wgsl?raw";
import nthLargest from "../../shaders/lib/nth-largest.wgsl?raw";
import readInfo from "../../shaders/lib/read-info.wgsl?raw";
import reusedLib from "../../shaders/lib/reused.wgsl?raw";
import selectionLib from "../../shaders/lib/selection.wgsl?raw";
import shader from "../../shaders/select-chunks.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface SelectChunksArgs {
  readonly info: BufferView;
  readonly reading: BufferView; // ReadInfo
  readonly table: BufferView;
  readonly rotated: BufferView; // (H, D) f32
  readonly scores: BufferView; // (H, 2 pairs) f32, logits before, shares after
  readonly selection: BufferView;
}

export function bindSelectChunks(gpu: Gpu, geometry: CacheGeometry, args: SelectChunksArgs): Op {
  const spec = {
    name: "select-chunks",
    code: [selectionLib, readInfo, reusedLib, leftOut, nthLargest, shader, lanesLib],
    bindings: ["uniform", "uniform", "read", "read", "write", "write"] as const,
    workgroup: 64,
  };
  const buffers = [args.info, args.reading, args.table, args.rotated, args.scores, args.selection];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads) };
}

// chunk-scores: what the queries of the token being decoded can score at most with every chunk of a layer's lists.

import shader from "../../shaders/chunk-scores.wgsl?raw";
import boundCodes from "../../shaders/lib/bound-codes.wgsl?raw";
import leftOut from "../../shaders/lib/left-out.wgsl?raw";
import readInfo from "../../shaders/lib/read-info.wgsl?raw";
import reusedLib from "../../shaders/lib/reused.wgsl?raw";
import selectionLib from "../../shaders/lib/selection.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface ChunkScoresArgs {
  readonly info: BufferView;
  readonly reading: BufferView; // ReadInfo
  readonly table: BufferView;
  readonly rotated: BufferView; // (H, D) f32: queries after RoPE
  readonly bounds: BufferView; // (G, 2, D, pairs) or (G, D + 1, pairs) u32: chunk-bounds
  readonly selection: BufferView;
  readonly scores: BufferView; // (H, 2 pairs) f32
  readonly pairs: number;
}

export function bindChunkScores(gpu: Gpu, geometry: CacheGeometry, args: ChunkScoresArgs): Op {
  const workgroup = 64;
  const spec = {
    name: "chunk-scores",
    code: [selectionLib, readInfo, reusedLib, leftOut, boundCodes, shader],
    bindings: ["uniform", "uniform", "read", "read", "read", "read", "write"] as const,
    workgroup,
  };
  const buffers = [args.info, args.reading, args.table, args.rotated, args.bounds, args.selection, args.scores];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads, Math.ceil(args.pairs / workgroup)) };
}

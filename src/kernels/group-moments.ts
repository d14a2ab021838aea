// group-moments: one dispatch of shaders/group-moments.wgsl.

import code from "../../shaders/group-moments.wgsl?raw";
import momentsRecord from "../../shaders/lib/moments-record.wgsl?raw";
import querySums from "../../shaders/lib/query-sums.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { halfPairing, type ScoringDims } from "./scoring";

export interface GroupMomentsArgs {
  readonly params: GPUBuffer;
  readonly pivot: BufferView; // (H, D) f32
  readonly sums: BufferView; // (H, D + 1, D) f32
  readonly moments: BufferView; // (G, 7 D/2 + 4) f32
  readonly queryEnergy: BufferView; // (G) f32
}

/** Pools a layer's sums per kv head. */
export function groupMoments(gpu: Gpu, dims: ScoringDims, args: GroupMomentsArgs): Op {
  const { heads, kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "group-moments",
    code: [scoreParams, querySums, momentsRecord, code],
    bindings: ["uniform", "read", "read", "write", "write"],
    constants: { H: heads, G: kvHeads, D: headSize, HALF: halfPairing(dims) },
  });
  const group = kernel.bind([args.params, args.pivot, args.sums, args.moments, args.queryEnergy]);
  return { record: (recorder) => recorder.dispatch(kernel, group, kvHeads) };
}

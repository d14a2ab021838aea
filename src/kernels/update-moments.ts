// update-moments: one dispatch of shaders/update-moments.wgsl.

import momentsRecord from "../../shaders/lib/moments-record.wgsl?raw";
import pcg from "../../shaders/lib/pcg.wgsl?raw";
import code from "../../shaders/update-moments.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { halfPairing, momentsLibrary, type ScoringDims } from "./scoring";

export interface UpdateMomentsArgs {
  readonly qkv: BufferView; // one row, (H + 2G) D f32, before RoPE
  readonly moments: BufferView; // of the layer, see keptLayout
  readonly limit: number; // tokens that count at most
}

/** Adds the current token's queries to the pooled moments of a layer. */
export function updateMoments(gpu: Gpu, dims: ScoringDims, args: UpdateMomentsArgs): Op {
  const { heads, kvHeads, headSize } = dims;
  const kept = momentsLibrary(true, dims);
  const kernel = gpu.kernels.get({
    name: "update-moments",
    code: [momentsRecord, kept.code, pcg, code],
    bindings: ["read", "write"],
    constants: { H: heads, G: kvHeads, D: headSize, HALF: halfPairing(dims), LIMIT: args.limit, ...kept.constants },
  });
  const group = kernel.bind([args.qkv, args.moments]);
  return { record: (recorder) => recorder.dispatch(kernel, group, kvHeads) };
}

// query-moments: one dispatch of shaders/query-moments.wgsl.

import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import step from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/query-moments.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { ScoringDims } from "./scoring";

export interface QueryMomentsArgs {
  readonly step: GPUBuffer;
  readonly params: GPUBuffer;
  readonly qkv: BufferView; // (chunk, (H + 2G) D) f32, before RoPE
  readonly pivot: BufferView; // (H, D) f32
  readonly sums: BufferView; // (H, D + 1, D) f32
}

/** Adds the step's queries to the sums. Clear the sums before a layer. */
export function queryMoments(gpu: Gpu, dims: ScoringDims, args: QueryMomentsArgs): Op {
  const { heads, kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "query-moments",
    code: [step, scoreParams, code],
    bindings: ["uniform", "uniform", "read", "read", "write"],
    constants: { D: headSize, STRIDE: (heads + 2 * kvHeads) * headSize },
  });
  const group = kernel.bind([args.step, args.params, args.qkv, args.pivot, args.sums]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(headSize / 64), Math.ceil(headSize / 16), heads) };
}

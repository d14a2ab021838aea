// rotate-moments: one dispatch of shaders/rotate-moments.wgsl.

import querySums from "../../shaders/lib/query-sums.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import code from "../../shaders/rotate-moments.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { halfPairing, type ScoringDims } from "./scoring";

export interface RotateMomentsArgs {
  readonly params: GPUBuffer;
  readonly pivot: BufferView; // (H, D) f32
  readonly sums: BufferView; // (H, D + 1, D) f32
  readonly rotation: BufferView; // (D/2) vec2f
  readonly mean: BufferView; // (H, D) f32
  readonly triangle: BufferView; // (H, D, D) f32
}

/** Turns the sums of a layer into what expectedAttention reads. */
export function rotateMoments(gpu: Gpu, dims: ScoringDims, args: RotateMomentsArgs): Op {
  const { heads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "rotate-moments",
    code: [scoreParams, querySums, code],
    bindings: ["uniform", "read", "read", "read", "write", "write"],
    constants: { D: headSize, HALF: halfPairing(dims) },
  });
  const group = kernel.bind([args.params, args.pivot, args.sums, args.rotation, args.mean, args.triangle]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(headSize / 128), headSize / 2, heads) };
}

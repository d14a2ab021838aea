// combine-scores: one dispatch of shaders/combine-scores.wgsl.

import code from "../../shaders/combine-scores.wgsl?raw";
import lanes from "../../shaders/lib/lanes.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { ScoringDims } from "./scoring";

export interface CombineScoresArgs {
  readonly params: GPUBuffer;
  readonly other: BufferView; // (G, tokens) f32, not negative
  readonly importance: BufferView; // (G, tokens) f32
  /** What is added of the other; by default the larger of both is taken. */
  readonly part?: number;
}

/** importance = max(importance, other scaled to sum 1 over a head's slots), or importance + part * other, scaled so. */
export function combineScores(gpu: Gpu, { kvHeads }: Pick<ScoringDims, "kvHeads">, args: CombineScoresArgs): Op {
  const kernel = gpu.kernels.get({
    name: "combine-scores",
    code: [scoreParams, lanes, code],
    bindings: ["uniform", "read", "write"],
    constants: { PART: args.part ?? 0 },
  });
  const group = kernel.bind([args.params, args.other, args.importance]);
  return { record: (recorder) => recorder.dispatch(kernel, group, kvHeads) };
}

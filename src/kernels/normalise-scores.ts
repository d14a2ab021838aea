// normalise-scores: one dispatch of shaders/normalise-scores.wgsl.

import lanes from "../../shaders/lib/lanes.wgsl?raw";
import code from "../../shaders/normalise-scores.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { ScoringDims } from "./scoring";
import { type SlotRange, slotRangeParts } from "./slot-range";

export interface NormaliseScoresArgs {
  /** A prompt's slots find the factor, the ring's take it. */
  readonly range: SlotRange;
  readonly importance: BufferView; // (G, slots) f32, changed in place
  readonly factors: BufferView; // floats; the heads' factors from `first` on
  readonly first: number;
}

/** Scores of every head's prompt sum to 1; the ring's are put on the same scale. */
export function normaliseScores(gpu: Gpu, { kvHeads }: ScoringDims, args: NormaliseScoresArgs): Op {
  const range = slotRangeParts(args.range);
  const kernel = gpu.kernels.get({
    name: "normalise-scores",
    code: [...range.code, lanes, code],
    bindings: ["uniform", "write", "write"],
    constants: { PROMPT: "params" in args.range ? 1 : 0, G: kvHeads, FIRST: args.first, ...range.constants },
  });
  const group = kernel.bind([range.uniform, args.importance, args.factors]);
  return { record: (recorder) => recorder.dispatch(kernel, group, kvHeads) };
}

// spread-scores: one dispatch of shaders/spread-scores.wgsl.

import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import code from "../../shaders/spread-scores.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { ScoringDims } from "./scoring";

export interface SpreadScoresArgs {
  readonly params: GPUBuffer;
  readonly spread: BufferView; // (H, tokens) vec4f, of window-spread
  readonly received: BufferView; // (G, tokens) f32
  readonly tokens: number;
  readonly gamma: number;
}

/** What a score is multiplied by to be 1 at most: all of a query's attention, and the largest variance of numbers between 0 and 1. */
export function spreadPart(gamma: number): number {
  return 1 / (1 + gamma / 4);
}

/** Mean of what a window pays, plus gamma times its variance over the window, on average over the group's heads (CAKE, Qin et al. 2025), times spreadPart(gamma). */
export function spreadScores(gpu: Gpu, { heads, kvHeads }: Pick<ScoringDims, "heads" | "kvHeads">, args: SpreadScoresArgs): Op {
  const kernel = gpu.kernels.get({
    name: "spread-scores",
    code: [scoreParams, code],
    bindings: ["uniform", "read", "write"],
    constants: { H: heads, G: kvHeads, GAMMA: args.gamma },
  });
  const group = kernel.bind([args.params, args.spread, args.received]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(args.tokens / 64), kvHeads) };
}

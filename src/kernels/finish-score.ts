// finish-score: one dispatch of shaders/finish-score.wgsl.

import code from "../../shaders/finish-score.wgsl?raw";
import lanes from "../../shaders/lib/lanes.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { ScoringDims } from "./scoring";

/** By how many queries a slot's sum is divided, in the order of the shader's EXPOSURE: not at all, by all, by those that see it, by those that follow it. */
const EXPOSURE = ["none", "queries", "seen", "followers"] as const;

export interface FinishScoreArgs {
  readonly params: GPUBuffer;
  readonly received: BufferView; // (G, tokens) f32, or (tokens) where shared
  readonly importance: BufferView; // (G, tokens) f32
  readonly shared?: boolean;
  /** Default "none"; the others need `queries`, those that were gathered (followers: of each slot) at most. */
  readonly exposure?: (typeof EXPOSURE)[number];
  readonly queries?: number;
  /** No slot counts less than the mean. */
  readonly floored?: boolean;
  /** Positions that share their scores, odd; and how. Default 1, none. */
  readonly pool?: number;
  readonly poolKind?: "max" | "mean";
  /** Last slots that are kept before all others. */
  readonly kept?: number;
  /** Divide by P(d) = (1 + d)^-distance, d positions before the next token (AGACC 2.3). Default 0, none. */
  readonly distance?: number;
  /** Slots that are judged together, by the best of them. */
  readonly block?: number;
  /** Norms to multiply by, epsilon added before: slot-norms' (vec2f a slot, the second counts) or one f32 a slot. */
  readonly norms?: { readonly plane: BufferView; readonly stride: 1 | 2 };
}

/** Scores of a prompt's slots past the sinks from the attention they received. */
export function finishScore(gpu: Gpu, { kvHeads }: Pick<ScoringDims, "kvHeads">, args: FinishScoreArgs): Op {
  const { exposure = "none", pool = 1, poolKind = "max", norms } = args;
  const kernel = gpu.kernels.get({
    name: "finish-score",
    code: [scoreParams, lanes, code],
    bindings: ["uniform", "read", "read", "write"],
    constants: {
      SHARED: args.shared ? 1 : 0,
      EXPOSURE: EXPOSURE.indexOf(exposure),
      QUERIES: args.queries ?? 0xffffffff,
      FLOORED: args.floored ? 1 : 0,
      REACH: (pool - 1) / 2,
      POOL_MEAN: poolKind === "mean" ? 1 : 0,
      KEPT: args.kept ?? 0,
      DISTANCE: args.distance ?? 0,
      BLOCK: args.block ?? 1,
      WEIGHED: norms?.stride ?? 0,
    },
  });
  const group = kernel.bind([args.params, args.received, norms?.plane ?? args.received, args.importance]);
  return { record: (recorder) => recorder.dispatch(kernel, group, kvHeads) };
}

// received: what the methods that score by attention received have in common: norms to multiply by, and their scores of the ring.

import { EngineError } from "../../errors";
import type { Op } from "../../gpu/recorder";
import type { FinishScoreArgs } from "../../kernels/finish-score";
import { type RingReceivedArgs, ringReceived } from "../../kernels/ring-received";
import type { PromptView, RingView, ScoreOptions } from "./scorer";

/** |v| of every slot, where the method multiplies by it. */
export function valueNorms(view: PromptView, { valueNorm }: Pick<ScoreOptions, "valueNorm">): Pick<FinishScoreArgs, "norms"> {
  return valueNorm ? { norms: { plane: view.norms(), stride: 2 } } : {};
}

/** Scores of the ring's tokens by the mean attention they got from every query since their own. */
export function receivedRing(
  view: RingView,
  { sinks, valueNorm, epsilon }: Pick<ScoreOptions, "sinks" | "valueNorm" | "epsilon">,
  form: Pick<RingReceivedArgs, "shared" | "summed" | "part" | "distance" | "norms"> = {},
): Op {
  const { gpu, dims, step, slots, values, received, importance, storage } = view;
  if (!received) throw new EngineError("INTERNAL", "A method that scores its ring by attention received needs Scorer.ringAttention.");
  const norms = valueNorm ? ({ norms: "values" } as const) : {};
  return ringReceived(gpu, dims, { range: { step, slots, sinks }, received, values, importance, epsilon, storage, ...norms, ...form });
}

// condensed: scores of the ring from the prompt's condensed moments, shared by the methods whose own scores need every query.

import type { Op } from "../../gpu/recorder";
import { ringScores } from "../../kernels/ring-scores";
import type { RingView, ScoreOptions } from "./scorer";

/** Expected attention of the ring's tokens under condensed moments; `ensemble` adds their diversity, half and half. */
export function condensedRing(view: RingView, { valueNorm, epsilon }: Pick<ScoreOptions, "valueNorm" | "epsilon">, ensemble: boolean): Op {
  const { gpu, dims, step, keys, values, slots, storage, moments, rotation, importance } = view;
  return ringScores(gpu, dims, { step, rotation, importance, slots, ensemble, valueNorm, epsilon, storage, keys, values, moments });
}

// ensemble-replay: the larger of the ensemble and the attention from a replay of the prompt, each summing to 1 over a head's slots before.
// Costs a second pass over the prompt. Source: methods 10.3 (the best score measured there).

import { combineScores } from "../../kernels/combine-scores";
import { condensedRing } from "./condensed";
import { ensemble } from "./ensemble";
import type { Scorer } from "./scorer";

export const ensembleReplay: Scorer = {
  name: "ensemble-replay",
  source: "Lacuna: maximum of its ensemble and KVzip's replay score",
  defaults: ensemble.defaults,
  replay: true,
  mass: true,
  prompt(view, options) {
    const { gpu, dims, params, importance } = view;
    ensemble.prompt(view, options);
    view.add(combineScores(gpu, dims, { params, other: view.received({ queries: "replay", reduce: "max" }), importance }));
  },
  ring: (view) => condensedRing(view, { valueNorm: false, epsilon: 0 }, true),
};

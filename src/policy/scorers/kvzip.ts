// kvzip: the most attention that a slot gets from any query of a replay, in which the model is told to repeat the context and given it once
// more. Knows nothing of a question. Source: KVzip (Kim et al. 2025, arXiv 2505.23416); its chunks see the whole context here.

import { combineScores } from "../../kernels/combine-scores";
import { condensedRing } from "./condensed";
import { ensemble } from "./ensemble";
import type { Scorer } from "./scorer";

export const kvzip: Scorer = {
  name: "kvzip",
  source: "Kim et al. 2025, arXiv 2505.23416",
  defaults: ensemble.defaults,
  replay: true,
  mass: true,
  prompt(view, options) {
    const { gpu, dims, params, importance } = view;
    ensemble.prompt(view, options); // leaves what the ring's scores are measured by
    view.add({ record: (recorder) => recorder.clear(importance) });
    view.add(combineScores(gpu, dims, { params, other: view.received({ queries: "replay", reduce: "max" }), importance }));
  },
  ring: (view) => condensedRing(view, { valueNorm: false, epsilon: 0 }, true),
};

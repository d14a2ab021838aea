// ensemble-replay: the larger of two scores that each sum to 1 over a head's slots: the attention from a replay of the prompt, and the mean of expected attention,
// attention of the last queries and attention of all queries that could pay it. What a replay looks up is what might be asked for: diversity, which guesses at that
// in one pass, would only dilute it. Costs a second pass over the prompt. Reads window. Source: methods 10.3 (the best score measured there).

import { combineScores } from "../../kernels/combine-scores";
import { finishScore } from "../../kernels/finish-score";
import { importance } from "../../kernels/importance";
import { condensedRing } from "./condensed";
import type { Scorer } from "./scorer";

const THIRD = 1 / 3;

export const ensembleReplay: Scorer = {
  name: "ensemble-replay",
  source: "Lacuna: maximum of KVzip's replay score and the mean of expected attention, SnapKV and H2O",
  defaults: { window: 32, pool: 7, poolKind: "max" },
  replay: true,
  mass: true,
  prompt(view, { window }) {
    const { gpu, dims, params, moments, tokens } = view;
    const [norms, logits, terms] = [view.norms(), view.expectedLogits(), view.keyTerms()];
    const received = view.received({ queries: window, reduce: "sum" });
    const history = view.create("history", dims.kvHeads * tokens, "staging");
    const ensemble = { expected: THIRD, window: THIRD, diversity: 0 };
    view.add(importance(gpu, dims, { params, logits, norms, terms, received, moments, importance: view.importance, ensemble, valueNorm: false }));
    view.add(finishScore(gpu, dims, { params, received: view.received({ queries: "all", reduce: "sum" }), importance: history, exposure: "seen" }));
    view.add(combineScores(gpu, dims, { params, other: history, importance: view.importance, part: THIRD }));
    view.add(combineScores(gpu, dims, { params, other: view.received({ queries: "replay", reduce: "max" }), importance: view.importance }));
  },
  ring: (view) => condensedRing(view, { valueNorm: false, epsilon: 0 }, true),
};

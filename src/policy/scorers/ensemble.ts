// ensemble: a quarter expected attention, a quarter attention of the last queries, half key diversity: the question is unknown, and what is
// unlike the rest may be asked for. Each part sums to 1 over a head's slots. Source: methods 10.3 (score B), measured there.

import { importance } from "../../kernels/importance";
import { condensedRing } from "./condensed";
import type { Scorer } from "./scorer";

const PARTS = { expected: 1 / 4, window: 1 / 4, diversity: 1 / 2 } as const;

export const ensemble: Scorer = {
  name: "ensemble",
  source: "Lacuna: expected attention / 4 + SnapKV / 4 + key diversity / 2",
  defaults: { window: 32, pool: 7, poolKind: "max" },
  mass: true,
  prompt(view, { window }) {
    const { gpu, dims, params, moments } = view;
    const [norms, logits, terms] = [view.norms(), view.expectedLogits(), view.keyTerms()];
    const received = view.received({ queries: window, reduce: "sum" });
    view.add(importance(gpu, dims, { params, logits, norms, terms, received, moments, importance: view.importance, ensemble: PARTS, valueNorm: false }));
  },
  ring: (view, options) => condensedRing(view, options, true),
};

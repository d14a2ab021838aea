// defensive: the worst case instead of the mean: the most that any of the last `window` queries of any of the group's heads pays, never less than
// the mean of that over the slots, pooled over neighbours, times |v|. In the ring, the most since a token's own query. Reads window, pool, poolKind, valueNorm, epsilon.
// Source: Feng et al. 2026, DefensiveKV.

import { finishScore } from "../../kernels/finish-score";
import { receivedRing, valueNorms } from "./received";
import type { Scorer } from "./scorer";

export const defensive: Scorer = {
  name: "defensive",
  source: "Feng et al. 2026, DefensiveKV",
  defaults: { window: 32, pool: 7, poolKind: "max", valueNorm: true },
  ringAttention: "max",
  prompt(view, options) {
    const { gpu, dims, params, importance } = view;
    const { window, pool, poolKind } = options;
    const received = view.received({ queries: window, reduce: "max" });
    view.add(finishScore(gpu, dims, { params, received, importance, floored: true, pool, poolKind, ...valueNorms(view, options) }));
  },
  ring: (view, options) => receivedRing(view, options),
};

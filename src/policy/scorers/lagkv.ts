// lagkv: a token's channels on the scale of the `lag` tokens after its own partition; the more they spread, the better. Published score: rank in the
// partition / lag, 1 for the last partition and what follows it; importance (rank + score) / lag, from 1 to 2 for the last, later ones first: it rises with
// the published score and keeps apart what that makes equal.
// In the ring the older half is a partition, the newer half the next. Source: Liang et al. 2025 (arXiv 2504.04704).

import { lagScores } from "../../kernels/lag-scores";
import type { Scorer } from "./scorer";

export const lagkv: Scorer = {
  name: "lagkv",
  source: "Liang et al. 2025, arXiv 2504.04704",
  defaults: { lag: 128 },
  prompt(view, { lag, sinks }) {
    const { gpu, dims, params, tokens, keys, values, importance, storage } = view;
    view.add(lagScores(gpu, dims, { range: { params, tokens }, sinks, lag, keys, values, importance, storage }));
  },
  ring({ gpu, dims, step, slots, keys, values, importance, storage }, { lag, sinks }) {
    return lagScores(gpu, dims, { range: { step, slots, sinks }, sinks, lag, keys, values, importance, storage });
  },
};

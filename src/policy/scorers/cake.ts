// cake: attention of the prompt's last `window` queries, its mean and `gamma` times its variance over them, on average over the group's heads, pooled over
// neighbours, over the most that this can be; the window itself is kept. What is looked at by fits and starts counts too. Reads window, gamma, pool, poolKind, valueNorm, epsilon.
// Source: Qin et al. 2025, CAKE.

import { finishScore } from "../../kernels/finish-score";
import { spreadPart, spreadScores } from "../../kernels/spread-scores";
import { receivedRing, valueNorms } from "./received";
import type { Scorer } from "./scorer";

export const cake: Scorer = {
  name: "cake",
  source: "Qin et al. 2025, CAKE",
  defaults: { window: 32, gamma: 200, pool: 5, poolKind: "mean" },
  ringAttention: "mean",
  prompt(view, options) {
    const { gpu, dims, params, importance, tokens } = view;
    const { window, gamma, pool, poolKind } = options;
    const spread = view.spread(window);
    const received = view.create("spreadScores", dims.kvHeads * tokens, "staging");
    view.add(spreadScores(gpu, dims, { params, spread, received, tokens, gamma }));
    view.add(finishScore(gpu, dims, { params, received, importance, pool, poolKind, kept: window, ...valueNorms(view, options) }));
  },
  ring: (view, options) => receivedRing(view, options, { part: spreadPart(options.gamma) }),
};

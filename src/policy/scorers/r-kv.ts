// r-kv: importance minus redundancy: lambda I - (1 - lambda) R. I: what the last `window` queries pay, a part of all they pay before the window, pooled by
// maximum; R: softmax of a key's mean cosine with the others, of which the latest alike (cosine above .5) is let off. Here I is a mean over the group's
// heads, where the paper takes the softmax of the greatest logit. Importance: n times the score, lifted head by head so that the
// most redundant slot is at zero of R's part: made for budgets by the head.
// Source: Cai et al. 2025 (methods 2.16).

import { latestAlike } from "../../kernels/latest-alike";
import { redundancy } from "../../kernels/redundancy";
import { ringRedundancy } from "../../kernels/ring-redundancy";
import type { Scorer } from "./scorer";

export const rkv: Scorer = {
  name: "r-kv",
  source: "Cai et al. 2025, R-KV",
  defaults: { window: 8, pool: 7, poolKind: "max", lambda: 0.1 },
  ringAttention: "mean",
  prompt(view, { window, pool, lambda }) {
    const { gpu, dims, params, tokens, keys, importance, storage } = view;
    const [norms, moments] = [view.norms(), view.meanKeys()];
    const received = view.received({ queries: window, reduce: "sum" });
    const credits = view.create("credits", dims.kvHeads * tokens);
    view.addToChunks({ begin: (recorder) => recorder.clear(credits), record: () => {} });
    view.add(latestAlike(gpu, dims, { params, keys, norms, credits, tokens, storage }));
    view.add(redundancy(gpu, dims, { params, keys, norms, credits, received, moments, importance, lambda, window, pool, storage }));
  },
  ring({ gpu, dims, step, slots, keys, moments, received, importance, storage }, { lambda, sinks }) {
    return ringRedundancy(gpu, dims, { range: { step, slots, sinks }, keys, moments, received, importance, lambda, storage });
  },
};

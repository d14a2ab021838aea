// snapkv: attention of the prompt's last `window` queries, mean over them and the group's heads, pooled over neighbours; the window itself is kept.
// Reads window, pool, poolKind, reduce (max: the largest that any query of any head pays), valueNorm, epsilon.
// Source: Li et al. 2024 (arXiv 2404.14469), with kvpress's settings and its mean over the group.

import { finishScore } from "../../kernels/finish-score";
import { receivedRing, valueNorms } from "./received";
import type { Scorer } from "./scorer";

export const snapkv: Scorer = {
  name: "snapkv",
  source: "Li et al. 2024, arXiv 2404.14469",
  defaults: { window: 64, pool: 5, poolKind: "mean" },
  ringAttention: "mean",
  prompt(view, options) {
    const { gpu, dims, params, importance } = view;
    const { window, pool, poolKind, reduce } = options;
    const received = view.received({ queries: window, reduce: reduce === "max" ? "max" : "sum" });
    const exposure = reduce === "max" ? "none" : "queries";
    view.add(finishScore(gpu, dims, { params, received, importance, exposure, queries: window, pool, poolKind, kept: window, ...valueNorms(view, options) }));
  },
  ring: (view, options) => receivedRing(view, options),
};

// h2o: attention received from every query so far, mean over the group's heads. reduce "sum", as published: over the number of all queries, so that
// early tokens collect more terms; "mean": over the queries that could pay it (kvpress's ObservedAttention). Also reads valueNorm, epsilon.
// Source: Zhang et al. 2023 (arXiv 2306.14048).

import { finishScore } from "../../kernels/finish-score";
import { receivedRing, valueNorms } from "./received";
import type { Scorer } from "./scorer";

export const h2o: Scorer = {
  name: "h2o",
  source: "Zhang et al. 2023, arXiv 2306.14048",
  defaults: { reduce: "sum" },
  ringAttention: "mean",
  prompt(view, options) {
    const { gpu, dims, params, importance } = view;
    const received = view.received({ queries: "all", reduce: "sum", decay: options.decay });
    const exposure = options.reduce === "mean" ? "seen" : "queries";
    view.add(finishScore(gpu, dims, { params, received, importance, exposure, ...valueNorms(view, options) }));
  },
  ring: (view, options) => receivedRing(view, options, { summed: options.reduce !== "mean" }),
};

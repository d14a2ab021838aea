// tova: attention of the last query alone, mean over all heads of the layer, so that all kv heads keep the same tokens; the last token is kept.
// In the ring, the mean over the queries since a token's own, likewise over all heads. Source: Oren et al. 2024 (arXiv 2401.06104).

import { finishScore } from "../../kernels/finish-score";
import { layerAverage } from "../../kernels/layer-average";
import { receivedRing } from "./received";
import type { Scorer } from "./scorer";

export const tova: Scorer = {
  name: "tova",
  source: "Oren et al. 2024, arXiv 2401.06104",
  defaults: {},
  ringAttention: "mean",
  prompt(view) {
    const { gpu, dims, params, importance, layer, tokens } = view;
    const received = view.received({ queries: 1, reduce: "sum" });
    const average = view.create("average", tokens);
    view.add(layerAverage(gpu, dims, { params, layer, received, average, tokens, overLayers: false }));
    view.add(finishScore(gpu, dims, { params, received: average, importance, shared: true, kept: 1 }));
  },
  ring: (view, options) => receivedRing(view, { ...options, valueNorm: false }, { shared: true }),
};

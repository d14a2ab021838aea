// attention-history: AGACC's importance (seed 001, 2.2, 2.3 and 2.5). S: mean attention that a token got from the `window` queries after it, over all
// heads of the layer and the layers so far; over P(d) = (1 + d)^-distance, what its distance to the next token earns by itself; the best of each block of
// `block` positions. Alpha, by which 2.3 follows what comes later, is re-evaluation's (policy/reevaluation.ts). The document leaves P, the window and the
// block open; an exponent of .5 lies half way between no correction and that of even attention. Pages store an importance of up to 16, which an exponent
// of 1 passes in long prompts (the tiny model: .75 for none of 2,048 tokens, 1 for up to 7 % of a layer): no more than 1 is allowed.

import { finishScore } from "../../kernels/finish-score";
import { layerAverage } from "../../kernels/layer-average";
import { receivedRing, valueNorms } from "./received";
import type { Scorer } from "./scorer";

export const attentionHistory: Scorer = {
  name: "attention-history",
  source: "AGACC: Attention-Guided Adaptive KV Cache Compression, 2.2 to 2.5",
  defaults: { window: 512, distance: 0.5, block: 8 },
  // 2.3's alpha weighs S against I(t - 1): after a prompt S is the first I(t) there is.
  refuses: { decay: "none, as a prompt has no earlier importance to weigh against; the alpha of AGACC 2.3 is reevaluate.decay" },
  ringAttention: "mean",
  history: { shared: true },
  prompt(view, options) {
    const { gpu, dims, params, importance, layer, tokens } = view;
    const { window, distance, block } = options;
    const received = view.received({ queries: "all", reduce: "sum", followers: window });
    const average = view.create("average", tokens);
    view.add(layerAverage(gpu, dims, { params, layer, received, average, tokens, overLayers: true }));
    const form = { shared: true, exposure: "followers", queries: window, distance, block } as const;
    view.add(finishScore(gpu, dims, { params, received: average, importance, ...form, ...valueNorms(view, options) }));
  },
  ring: (view, options) => receivedRing(view, options, { shared: true, distance: options.distance }),
};

// critical: what a slot adds to the output: SnapKV's attention plus epsilon, times |W_o v|, the L2 norm of what the group's heads make of its value together.
// The authors take the mean over the heads of the L1 norm, which needs the whole projection of every value; and give the first half of the budget to
// attention alone, where here the sum of both decides throughout, as no score knows the budget. Reads window, pool, poolKind, epsilon.
// Source: Feng et al. 2025, CriticalKV (arXiv 2502.03805).

import { EngineError } from "../../errors";
import { finishScore } from "../../kernels/finish-score";
import { projectedNorms } from "../../kernels/projected-norms";
import { receivedRing } from "./received";
import type { Scorer } from "./scorer";

export const critical: Scorer = {
  name: "critical",
  source: "Feng et al. 2025, arXiv 2502.03805",
  defaults: { window: 32, pool: 7, poolKind: "max", epsilon: 1e-4 },
  ringAttention: "mean",
  projected: true,
  prompt(view, { window, pool, poolKind }) {
    const { gpu, dims, params, importance } = view;
    const received = view.received({ queries: window, reduce: "sum" });
    const norms = { plane: view.projectedNorms(), stride: 1 } as const;
    view.add(finishScore(gpu, dims, { params, received, importance, exposure: "queries", queries: window, pool, poolKind, kept: window, norms }));
  },
  ring(view, options) {
    const { gpu, dims, step, slots, layerIndex, values, outputGrams: grams, storage } = view;
    if (!grams) throw new EngineError("INTERNAL", "A method that weighs its ring by the output projection needs Scorer.projected.");
    const norms = view.create(`norms${view.layer}`, dims.kvHeads * slots);
    const weigh = projectedNorms(gpu, dims, { range: { step, slots, sinks: options.sinks }, layer: layerIndex, values, grams, norms, storage });
    const score = receivedRing(view, { ...options, valueNorm: false }, { norms });
    return {
      record(recorder) {
        weigh.record(recorder);
        score.record(recorder);
      },
    };
  },
};

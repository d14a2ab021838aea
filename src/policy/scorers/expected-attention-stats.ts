// expected-attention-stats: expected attention of queries like those of a text seen once, when the model was calibrated, whatever this prompt's are; in the
// ring as expected-attention. Source: kvpress's ExpectedAttentionStatsPress (Devoto et al. 2025, arXiv 2510.00636).

import { importance } from "../../kernels/importance";
import { requireCalibration } from "../calibration";
import { condensedRing } from "./condensed";
import type { Scorer } from "./scorer";

export const expectedAttentionStats: Scorer = {
  name: "expected-attention-stats",
  source: "Devoto et al. 2025, arXiv 2510.00636; kvpress",
  defaults: { valueNorm: true },
  mass: true,
  prompt(view, { valueNorm }) {
    const { gpu, dims, params, moments } = view;
    const logits = view.expectedLogits(requireCalibration(view.calibration, "expected-attention-stats"));
    const [norms, terms] = [view.norms(), view.keyTerms()];
    view.add(importance(gpu, dims, { params, logits, norms, terms, received: norms, moments, importance: view.importance, valueNorm }));
  },
  ring: (view, options) => condensedRing(view, options, false),
};

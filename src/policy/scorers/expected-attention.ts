// expected-attention: attention that queries like those seen so far are expected to pay, RoPE averaged over the positions to come, in
// closed form; times the value's norm. Source: Devoto, Jeblick, Jegou 2025 (arXiv 2510.00636), as kvpress computes it.

import { importance } from "../../kernels/importance";
import { condensedRing } from "./condensed";
import type { Scorer } from "./scorer";

export const expectedAttention: Scorer = {
  name: "expected-attention",
  source: "Devoto et al. 2025, arXiv 2510.00636",
  defaults: { valueNorm: true },
  mass: true,
  prompt(view, { valueNorm }) {
    const { gpu, dims, params, moments } = view;
    const [norms, logits, terms] = [view.norms(), view.expectedLogits(), view.keyTerms()];
    view.add(importance(gpu, dims, { params, logits, norms, terms, received: norms, moments, importance: view.importance, valueNorm }));
  },
  ring: (view, options) => condensedRing(view, options, false),
};

// reevaluation (reference, f64): AGACC's tracker and re-evaluation (seed document 001: 2.2, 2.3, 2.5, 2.6), by the definitions.

import { dot } from "./codec";
import type { Numbers } from "./expected-attention";
import { positionFactor } from "./scorers/attention-history";

/** 2.2: what one query pays to each key: softmax of q . k / sqrt(D). */
export function paid(query: Numbers, keys: readonly Numbers[]): number[] {
  const logits = keys.map((key) => dot(query, key) / Math.sqrt(query.length));
  const most = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

export interface Window {
  /** Sums of attention received, by position, of one head, or of all heads and layers together. */
  readonly received: Numbers;
  /** Queries that could pay it: N_q, times heads and layers where those are summed too. */
  readonly queries: number;
  /** The next token's position. */
  readonly now: number;
  /** Exponent of P(d); 0 for none. */
  readonly distance: number;
  readonly block: number;
}

/** S of a position: mean attention over P (2.3), the best of its block (2.5). */
export function recentScore(position: number, { received, queries, now, distance, block }: Window): number {
  const start = position - (position % block);
  const scores = Array.from({ length: block }, (_, n) => start + n)
    .filter((other) => other < received.length && other < now)
    .map((other) => (received[other] ?? 0) / queries / positionFactor(now - other, distance));
  return Math.max(...scores);
}

/** 2.3 and 2.6: I(t) = decay S + (1 - decay) I(t - 1); held from `rise` times what it was on, and until it falls. */
export function reevaluated(
  was: { readonly importance: number; readonly held: boolean },
  recent: number,
  { decay, rise }: { readonly decay: number; readonly rise: number },
): { readonly importance: number; readonly held: boolean } {
  const importance = decay * recent + (1 - decay) * was.importance;
  return { importance, held: importance >= rise * was.importance || (was.held && importance >= was.importance) };
}

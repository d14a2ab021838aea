// cake (reference, f64): CAKE's score of a prompt's slots, whole (Qin et al. 2025): what the window pays, its mean and variance, a group's heads together, pooled.

import { cakeScore } from "../budgets";
import type { Dims } from "../expected-attention";
import { averagePool, maxPool } from "../snapkv";
import { attentionRow } from "./attention-received";
import type { SnapOptions } from "./window";

/**
 * (G, T): as SnapKV with its window kept, of (mean + gamma * variance) / (1 + gamma / 4), which is 1 at most, instead of the mean. Sinks get 0; the mean pool counts
 * what they received.
 */
export function cake({ queries, window, keys, pool, kernel }: SnapOptions, gamma: number, dims: Dims): Float64Array {
  const { T, H, G, sinks } = dims;
  const length = T - window;
  const rows = Array.from({ length: H * window }, (_, n) => attentionRow({ queries, keys }, n % window, Math.floor(n / window), dims));
  const byHead = cakeScore({ attention: rows.flatMap((row) => [...row.subarray(0, length)]), heads: H, window }, gamma);
  const group = H / G;
  const scores = new Float64Array(G * T);
  for (let g = 0; g < G; g++) {
    const row = Array.from({ length }, (_, t) =>
      Array.from({ length: group }, (__, h) => byHead[(g * group + h) * length + t]!).reduce((a, b) => a + b / (group * (1 + gamma / 4)), 0),
    );
    const pooled = pool === "mean" ? averagePool(row, kernel) : maxPool(row, (kernel - 1) / 2, { T: length, G: 1, sinks });
    for (let t = sinks; t < length; t++) scores[g * T + t] = pooled[t]!;
  }
  const top = Math.max(...scores) + 1;
  for (let g = 0; g < G; g++) scores.fill(top, g * T + length, (g + 1) * T);
  return scores;
}

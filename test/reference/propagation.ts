// propagation (reference, f64): which tokens of a prompt go on past FastKV's layer (Jo et al. 2025; methods 2.10).

import type { Dims, Numbers } from "./expected-attention";
import { averagePool, windowAttention } from "./snapkv";

/**
 * Attention of the last `window` queries, summed over them, the group and, pooled over neighbours before the window, the kv heads; the greatest go on beside `always`.
 * @param queries (W, H, D) after RoPE, of positions T-W..T-1   @param keys (G, T, D) after RoPE
 * @returns `count` positions, ascending
 */
export function tokensThatGoOn(
  queries: Numbers,
  keys: Numbers,
  dims: Dims,
  { window, pool, always, count }: { readonly window: number; readonly pool: number; readonly always: ReadonlySet<number>; readonly count: number },
): number[] {
  const { T, H, G } = dims;
  const attention = windowAttention(queries, window, keys, dims); // a mean where the paper has a sum: the same factor for all
  const sums = new Float64Array(T);
  for (let g = 0; g < G; g++)
    averagePool(
      [...attention.subarray(g * T, (g + 1) * T - window)].map((mean) => mean * window * (H / G)),
      pool,
    ).forEach((score, t) => {
      sums[t]! += score;
    });
  const others = [...sums.keys()].filter((t) => !always.has(t)).sort((a, b) => sums[b]! - sums[a]! || a - b);
  return [...always, ...others.slice(0, count - always.size)].sort((a, b) => a - b);
}

// merging (reference, f64): MergingPress: what is evicted leaves part of its value with the kept slot whose key is most like its own. Keys stay.

import { type Dims, type Numbers, norm } from "../../expected-attention";

/**
 * Values after merging, (G, T, D). An evicted slot e goes to the kept slot t with the greatest cosine of keys, if that is at least `similar`, with weight
 * w = max(cos, 0) |v_e| / (|v_e| + |v_t|); then v_t = (v_t + sum w v_e) / (1 + sum w).
 * @param kept slots by head
 */
export function mergeValues(
  keys: Numbers,
  values: Numbers,
  kept: readonly (readonly number[])[],
  { T, G, D }: Omit<Dims, "H" | "sinks">,
  similar = 0,
): Float64Array {
  const merged = Float64Array.from(values);
  for (let g = 0; g < G; g++) {
    const stays = new Set(kept[g]);
    const weights = new Map<number, number>();
    for (let e = 0; e < T; e++) {
      if (stays.has(e)) continue;
      const cosine = (t: number): number => {
        let dot = 0;
        for (let i = 0; i < D; i++) dot += (keys[(g * T + e) * D + i] ?? Number.NaN) * (keys[(g * T + t) * D + i] ?? Number.NaN);
        return dot / (norm(keys, (g * T + e) * D, D) * norm(keys, (g * T + t) * D, D));
      };
      const target = [...stays].reduce((best, t) => (cosine(t) > cosine(best) ? t : best));
      if (cosine(target) < similar) continue;
      const own = norm(values, (g * T + e) * D, D);
      const weight = (Math.max(cosine(target), 0) * own) / (own + norm(values, (g * T + target) * D, D));
      weights.set(target, (weights.get(target) ?? 0) + weight);
      for (let i = 0; i < D; i++) merged[(g * T + target) * D + i]! += weight * (values[(g * T + e) * D + i] ?? Number.NaN);
    }
    for (const [t, weight] of weights) for (let i = 0; i < D; i++) merged[(g * T + t) * D + i]! /= 1 + weight;
  }
  return merged;
}

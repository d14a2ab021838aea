// snapkv (reference, f64): attention that the last queries of the prompt pay to every key, and the pools laid over it.

import { type Dims, type Numbers, softmax } from "./expected-attention";

/**
 * Per query head: mean over the window's queries of their causal softmax, (H, T). A key that a query cannot see counts 0.
 * @param queries (W, H, D) after RoPE, of positions T-W..T-1   @param keys (G, T, D) after RoPE
 */
export function windowAttentionByHead(queries: Numbers, window: number, keys: Numbers, { T, H, G, D }: Dims): Float64Array {
  const received = new Float64Array(H * T);
  for (let h = 0; h < H; h++)
    for (let w = 0; w < window; w++) {
      const visible = T - window + w + 1;
      const row = Array.from({ length: visible }, (_, t) => {
        let dot = 0;
        for (let i = 0; i < D; i++) dot += (queries[(w * H + h) * D + i] ?? Number.NaN) * (keys[(Math.floor(h / (H / G)) * T + t) * D + i] ?? Number.NaN);
        return dot / Math.sqrt(D);
      });
      softmax(row).forEach((p, t) => {
        received[h * T + t]! += p / window;
      });
    }
  return received;
}

/** Mean over the group's query heads of windowAttentionByHead, (G, T). */
export function windowAttention(queries: Numbers, window: number, keys: Numbers, dims: Dims): Float64Array {
  const { T, H, G } = dims;
  const byHead = windowAttentionByHead(queries, window, keys, dims);
  const mean = new Float64Array(G * T);
  byHead.forEach((p, n) => {
    mean[Math.floor(Math.floor(n / T) / (H / G)) * T + (n % T)]! += p / (H / G);
  });
  return mean;
}

/** Largest of the neighbours within `reach` positions, the sinks not counted as neighbours, (G, T). */
export function maxPool(scores: Numbers, reach: number, { T, G, sinks }: Pick<Dims, "T" | "G" | "sinks">): Float64Array {
  const pooled = new Float64Array(G * T);
  for (let g = 0; g < G; g++)
    for (let t = sinks; t < T; t++)
      for (let n = Math.max(sinks, t - reach); n <= Math.min(T - 1, t + reach); n++)
        pooled[g * T + t] = Math.max(pooled[g * T + t]!, scores[g * T + n] ?? Number.NaN);
  return pooled;
}

/** Mean over `width` neighbours with zeros beyond the ends, counted (kvpress's pool). One row. */
export function averagePool(row: readonly number[], width: number): number[] {
  const reach = (width - 1) / 2;
  return row.map((_, t) => {
    let sum = 0;
    for (let n = t - reach; n <= t + reach; n++) sum += row[n] ?? 0;
    return sum / width;
  });
}

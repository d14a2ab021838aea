// non-causal (reference, f64): NonCausalAttnPress (2507.08143): attention inside chunks without the causal mask, times the value's norm.

import { type Dims, type Numbers, norm, softmax } from "../../expected-attention";
import { averagePool } from "../../snapkv";

export interface NonCausalOptions {
  readonly chunk: number;
  /**
   * kvpress pads the last chunk with keys of -1e-9 and queries of 0 and lets both take part: a short last chunk loses mass to the former and its columns gain
   * from the latter. True repeats that; false (default) is what was meant.
   */
  readonly padded?: boolean;
}

/** Column sums of softmax(q k) (no 1/sqrt(D)) in each chunk, mean over the group, (G, T). `queries` (T, H, D) and `keys` (G, T, D) after RoPE. */
export function nonCausalSums(queries: Numbers, keys: Numbers, { chunk, padded = false }: NonCausalOptions, { T, H, G, D }: Dims): Float64Array {
  const sums = new Float64Array(G * T);
  for (let h = 0; h < H; h++) {
    const g = Math.floor(h / (H / G));
    for (let start = 0; start < T; start += chunk) {
      const length = Math.min(chunk, T - start);
      const rows = padded ? chunk : length;
      for (let q = 0; q < rows; q++) {
        const query = (i: number): number => (q < length ? (queries[((start + q) * H + h) * D + i] ?? Number.NaN) : 0);
        const logits = Array.from({ length: rows }, (_, t) => {
          let dot = 0;
          for (let i = 0; i < D; i++) dot += query(i) * (t < length ? (keys[(g * T + start + t) * D + i] ?? Number.NaN) : -1e-9);
          return dot;
        });
        softmax(logits).forEach((p, t) => {
          if (t < length) sums[g * T + start + t]! += p / (H / G);
        });
      }
    }
  }
  return sums;
}

/** The sums times |v|, pooled over 3 (zeros counted beyond the ends), then less the mean and over the deviation of all heads together, (G, T). */
export function nonCausal(queries: Numbers, keys: Numbers, values: Numbers, options: NonCausalOptions, dims: Dims): Float64Array {
  const { T, G, D } = dims;
  const weighed = nonCausalSums(queries, keys, options, dims).map((sum, row) => sum * norm(values, row * D, D));
  const pooled = Float64Array.from(Array.from({ length: G }, (_, g) => averagePool([...weighed.subarray(g * T, (g + 1) * T)], 3)).flat());
  const mean = pooled.reduce((sum, x) => sum + x / pooled.length, 0);
  const deviation = Math.sqrt(pooled.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (pooled.length - 1));
  return pooled.map((x) => (x - mean) / deviation);
}

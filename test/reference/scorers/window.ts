// window (reference, f64): scores from the prompt's last queries: snapkv, tova, defensive.

import { type Dims, type Numbers, weighByValueNorm } from "../expected-attention";
import { averagePool, maxPool } from "../snapkv";
import { attentionReceived, attentionReceivedByHead, overGroup } from "./attention-received";

export interface SnapOptions {
  readonly queries: Numbers; // (W, H, D), after RoPE, of the last W positions
  readonly window: number; // W
  readonly keys: Numbers; // (G, T, D), after RoPE
  readonly pool: "mean" | "max";
  /** Width of the pool, odd; 1 is none. */
  readonly kernel: number;
  /** How the group's query heads are folded: mean (kvpress, Ada-KV), sum (RocketKV, FastKV), max (DiffKV). Default mean. */
  readonly group?: "mean" | "max" | "sum";
  /** True: the window's tokens are kept (largest score + 1) and are nobody's neighbours, as published. False (default): they are scored like the others. */
  readonly keepWindow?: boolean;
}

/**
 * SnapKV (Li et al. 2024), (G, T): mean attention from the window, pooled over neighbours. The mean pool counts zeros beyond the ends (kvpress); the max pool leaves the
 * sinks out (methods.md 10.3: their mass would spread to their neighbours). Sinks get 0 where `dims.sinks` are kept apart.
 */
export function snapkv({ queries, window, keys, pool, kernel, group = "mean", keepWindow = false }: SnapOptions, dims: Dims): Float64Array {
  const { T, G, sinks } = dims;
  const received = attentionReceived({ queries, keys, reduce: "mean", group }, dims);
  const length = keepWindow ? T - window : T;
  const scores = new Float64Array(G * T);
  for (let g = 0; g < G; g++) {
    const row = [...received.subarray(g * T, g * T + length)];
    const pooled = pool === "mean" ? averagePool(row, kernel) : maxPool(row, (kernel - 1) / 2, { T: length, G: 1, sinks });
    for (let t = sinks; t < length; t++) scores[g * T + t] = pooled[t]!;
  }
  const top = Math.max(...scores) + 1;
  for (let g = 0; g < G; g++) scores.fill(top, g * T + length, (g + 1) * T);
  return scores;
}

/** TOVA (Oren et al. 2024), (G, T): attention of the last query, mean over ALL query heads, so the same for every kv head. `queries` (1, H, D). */
export function tova(queries: Numbers, keys: Numbers, dims: Dims): Float64Array {
  const { T, H, G } = dims;
  const byHead = attentionReceivedByHead({ queries, keys }, "mean", dims);
  return Float64Array.from({ length: G * T }, (_, n) => {
    let sum = 0;
    for (let h = 0; h < H; h++) sum += byHead[h * T + (n % T)]! / H;
    return n % T < dims.sinks ? 0 : sum;
  });
}

/**
 * DefensiveKV (Feng et al. 2026), (G, T): the worst case instead of the mean: m = maximum over the window's queries and the group's heads,
 * never less than the mean of m over the head's non-sinks; times |v| unless `values` is left out.
 */
export function defensive({ queries, keys, values }: { queries: Numbers; keys: Numbers; values?: Numbers }, dims: Dims): Float64Array {
  const { T, G, sinks } = dims;
  const most = overGroup(attentionReceivedByHead({ queries, keys }, "max", dims), "max", dims);
  const scores = new Float64Array(G * T);
  for (let g = 0; g < G; g++) {
    let floor = 0;
    for (let t = sinks; t < T; t++) floor += most[g * T + t]! / (T - sinks);
    for (let t = sinks; t < T; t++) scores[g * T + t] = Math.max(most[g * T + t]!, floor);
  }
  return values ? weighByValueNorm(scores, values, 0, dims) : scores;
}

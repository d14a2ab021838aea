// r-kv (reference, f64): importance minus redundancy, for long outputs (Cai et al. 2025; methods.md 2.16).

import { type Dims, type Numbers, norm, softmax } from "../expected-attention";
import { maxPool } from "../snapkv";

export interface RkvOptions {
  /** Weight of importance against redundancy; the paper's .1, its code's .07. */
  readonly lambda: number;
  /** Cosine from which two keys say the same; default .5. */
  readonly similar?: number;
  /** Width of the max pool over importance; default 7. */
  readonly kernel?: number;
}

/**
 * lambda I + (1 - lambda)(1 - R), (G, T): the paper's lambda I - (1 - lambda) R, lifted above zero. Sinks 0.
 * @param queries (W, H, D), after RoPE, of the last W tokens: those are kept anyway and have I = 0
 */
export function rkv(queries: Numbers, keys: Numbers, { lambda, similar = 0.5, kernel = 7 }: RkvOptions, dims: Dims): Float64Array {
  const { T, sinks } = dims;
  const importance = rkvImportance(queries, keys, kernel, dims);
  const redundancy = rkvRedundancy(keys, similar, dims);
  return importance.map((score, n) => (n % T < sinks ? 0 : lambda * score + (1 - lambda) * (1 - redundancy[n]!)));
}

/** Logits of the last W queries, the group's greatest, softmax over the slots before the window, mean over the queries, max pool; (G, T). */
export function rkvImportance(queries: Numbers, keys: Numbers, kernel: number, { T, H, G, D }: Dims): Float64Array {
  const W = queries.length / (H * D);
  const prefix = T - W;
  const importance = new Float64Array(G * T);
  for (let g = 0; g < G; g++) {
    const mean = new Float64Array(prefix);
    for (let w = 0; w < W; w++) {
      const logits = Array.from({ length: prefix }, (_, t) => Math.max(...group(g, H / G).map((h) => logit(queries, w * H + h, keys, g * T + t, D))));
      softmax(logits).forEach((p, t) => {
        mean[t]! += p / W;
      });
    }
    importance.set(maxPool(mean, (kernel - 1) / 2, { T: prefix, G: 1, sinks: 0 }), g * T);
  }
  return importance;
}

/**
 * Softmax over a head's slots of their mean cosine with the others, (G, T). In every row the latest (by position) of the tokens more alike than `similar` is
 * let off, so that the last copy survives.
 */
export function rkvRedundancy(keys: Numbers, similar: number, { T, G, D }: Dims, positions?: readonly number[]): Float64Array {
  const redundancy = new Float64Array(G * T);
  for (let g = 0; g < G; g++) {
    const mean = new Float64Array(T);
    for (let row = 0; row < T; row++) {
      const cosines = Array.from({ length: T }, (_, t) => (t === row ? 0 : cosine(keys, g * T + row, g * T + t, D)));
      let latest = -1;
      for (let t = 0; t < T; t++) if (cosines[t]! > similar && (latest < 0 || (positions?.[t] ?? t) > (positions?.[latest] ?? latest))) latest = t;
      cosines.forEach((value, t) => {
        if (t !== latest) mean[t]! += value / T;
      });
    }
    redundancy.set(softmax(mean), g * T);
  }
  return redundancy;
}

function group(g: number, heads: number): number[] {
  return Array.from({ length: heads }, (_, h) => g * heads + h);
}

function logit(queries: Numbers, query: number, keys: Numbers, key: number, D: number): number {
  let dot = 0;
  for (let i = 0; i < D; i++) dot += (queries[query * D + i] ?? Number.NaN) * (keys[key * D + i] ?? Number.NaN);
  return dot / Math.sqrt(D);
}

function cosine(keys: Numbers, a: number, b: number, D: number): number {
  let dot = 0;
  for (let i = 0; i < D; i++) dot += (keys[a * D + i] ?? Number.NaN) * (keys[b * D + i] ?? Number.NaN);
  return dot / (norm(keys, a * D, D) * norm(keys, b * D, D));
}

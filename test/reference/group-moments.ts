// group-moments (reference, f64): the condensed moments kept for decoding, scores of later keys from them, and their running update.

import type { RopePairing } from "../../src/model/model-config";
import { type Dims, expectedLogits, type Moments, type Numbers, pairChannels, rotateMoments } from "./expected-attention";
import { keyDiversity } from "./key-diversity";

/** All queries of a group's heads taken as one sample: (G, D) means and (G, D, D) covariances. */
export function poolMoments({ mean, covariance }: Moments, { H, G, D }: Dims): Moments {
  const pooled: Moments = { mean: new Float64Array(G * D), covariance: new Float64Array(G * D * D) };
  const heads = H / G;
  mean.forEach((m, n) => {
    pooled.mean[Math.floor(n / D / heads) * D + (n % D)]! += m / heads;
  });
  covariance.forEach((c, n) => {
    const [h, i, j] = [Math.floor(n / D / D), Math.floor(n / D) % D, n % D];
    const g = Math.floor(h / heads);
    const spread = (mean[h * D + i]! - pooled.mean[g * D + i]!) * (mean[h * D + j]! - pooled.mean[g * D + j]!);
    pooled.covariance[(g * D + i) * D + j]! += (c + spread) / heads;
  });
  return pooled;
}

/** Covariances between channels of different RoPE pairs set to 0. */
export function keepBlocks({ mean, covariance }: Moments, pairing: RopePairing, D: number): Moments {
  const partner = new Map(Array.from({ length: D / 2 }, (_, pair) => pairChannels(pairing, D, pair)).flatMap(([x, y]) => [[x, y] as const, [y, x] as const]));
  return { mean, covariance: covariance.map((c, n) => (n % D === Math.floor(n / D) % D || partner.get(n % D) === Math.floor(n / D) % D ? c : 0)) };
}

/** Mean |q|^2 per kv head, (G). */
export function queryEnergy({ mean, covariance }: Moments, { G, D }: Pick<Dims, "G" | "D">): number[] {
  return Array.from({ length: G }, (_, g) => {
    let sum = 0;
    for (let i = 0; i < D; i++) sum += mean[g * D + i]! ** 2 + covariance[(g * D + i) * D + i]!;
    return sum;
  });
}

/** Condensed log-scores of keys (G, T, D): pooled moments, blocks only, turned by `rotation`. (G, T). */
export function condensedLogits(
  pooled: Moments,
  rotation: Numbers,
  pairing: RopePairing,
  keys: Numbers,
  { T, G, D }: Pick<Dims, "T" | "G" | "D">,
): Float64Array {
  const dims: Dims = { T, H: G, G, D, sinks: 0 };
  return expectedLogits(rotateMoments(keepBlocks(pooled, pairing, D), rotation, pairing, dims), keys, dims);
}

/** Log of the sum of exp over a head's non-sink slots, (G). */
export function logNormalizers(logits: Numbers, { T, G, sinks }: Pick<Dims, "T" | "G" | "sinks">): number[] {
  return Array.from({ length: G }, (_, g) => {
    const row = Array.from({ length: T - sinks }, (_, i) => logits[g * T + sinks + i] ?? Number.NaN);
    const top = Math.max(...row);
    return top + Math.log(row.reduce((sum, l) => sum + Math.exp(l - top), 0));
  });
}

/** Expected attention and diversity of ring keys (G, R, D) on a prompt's scale, each (G, R). */
export function ringParts(
  prompt: { pooled: Moments; logNormalizers: readonly number[]; diversitySums: readonly number[]; anchor: Numbers },
  rotation: Numbers,
  pairing: RopePairing,
  keys: Numbers,
  { T: R, G, D }: Pick<Dims, "T" | "G" | "D">,
): { expected: Float64Array; diversity: Float64Array } {
  const logits = condensedLogits(prompt.pooled, rotation, pairing, keys, { T: R, G, D });
  return {
    expected: logits.map((l, n) => Math.min(1, Math.exp(l - (prompt.logNormalizers[Math.floor(n / R)] ?? Number.NaN)))),
    diversity: keyDiversity(keys, prompt.anchor, { T: R, G, D }).map((d, n) => d / (prompt.diversitySums[Math.floor(n / R)] ?? Number.NaN)),
  };
}

/** Pooled moments after one more token's queries (H, D), which weigh `weight` together. */
export function addQueries(pooled: Moments, queries: Numbers, weight: number, { H, G, D }: Pick<Dims, "H" | "G" | "D">): Moments {
  const heads = H / G;
  const next: Moments = { mean: new Float64Array(G * D), covariance: new Float64Array(G * D * D) };
  const query = (g: number, h: number, i: number): number => queries[(g * heads + h) * D + i] ?? Number.NaN;
  for (let g = 0; g < G; g++)
    for (let i = 0; i < D; i++) {
      let sum = 0;
      for (let h = 0; h < heads; h++) sum += query(g, h, i) / heads;
      next.mean[g * D + i] = (1 - weight) * pooled.mean[g * D + i]! + weight * sum;
    }
  for (let g = 0; g < G; g++)
    for (let i = 0; i < D; i++)
      for (let j = 0; j < D; j++) {
        const away = (value: (k: number) => number): number => (value(i) - next.mean[g * D + i]!) * (value(j) - next.mean[g * D + j]!);
        let batch = 0;
        for (let h = 0; h < heads; h++) batch += away((k) => query(g, h, k)) / heads;
        next.covariance[(g * D + i) * D + j] = (1 - weight) * (pooled.covariance[(g * D + i) * D + j]! + away((k) => pooled.mean[g * D + k]!)) + weight * batch;
      }
  return next;
}

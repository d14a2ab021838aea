// expected-attention (reference, f64): query moments, their average future rotation, the log-score and the softmax of kvpress.md 1.2.
// Slow and obvious. Arrays are flat; sinks have score 0 everywhere.

import type { RopePairing } from "../../src/model/model-config";

export type Numbers = Float64Array | Float32Array | readonly number[];

/** T tokens, H query heads, G kv heads, D head size, sinks: first positions left out of everything. */
export interface Dims {
  readonly T: number;
  readonly H: number;
  readonly G: number;
  readonly D: number;
  readonly sinks: number;
}

export interface Moments {
  readonly mean: Float64Array; // (H, D)
  readonly covariance: Float64Array; // (H, D, D), biased
}

/** Mean and covariance per query head of rows sinks..T-1. `queries` (T, H, D), before RoPE. */
export function queryMoments(queries: Numbers, { T, H, D, sinks }: Dims): Moments {
  const mean = new Float64Array(H * D);
  const covariance = new Float64Array(H * D * D);
  const count = Math.max(1, T - sinks);
  for (let h = 0; h < H; h++) {
    const at = (t: number, i: number): number => queries[(t * H + h) * D + i] ?? Number.NaN;
    for (let t = sinks; t < T; t++) for (let i = 0; i < D; i++) mean[h * D + i]! += at(t, i) / count;
    for (let i = 0; i < D; i++)
      for (let j = 0; j < D; j++) {
        let sum = 0;
        for (let t = sinks; t < T; t++) sum += (at(t, i) - mean[h * D + i]!) * (at(t, j) - mean[h * D + j]!);
        covariance[(h * D + i) * D + j] = sum / count;
      }
  }
  return { mean, covariance };
}

/** mu' = R mu, C' = R C R^T, with R as a full D x D matrix: no cleverness to share with the shader. */
export function rotateMoments({ mean, covariance }: Moments, rotation: Numbers, pairing: RopePairing, { H, D }: Dims): Moments {
  const R = rotationMatrix(rotation, pairing, D);
  const turned: Moments = { mean: new Float64Array(H * D), covariance: new Float64Array(H * D * D) };
  for (let h = 0; h < H; h++) {
    turned.mean.set(multiply(R, mean.subarray(h * D, (h + 1) * D), D, D, 1), h * D);
    const half = multiply(R, covariance.subarray(h * D * D, (h + 1) * D * D), D, D, D);
    turned.covariance.set(multiply(half, transpose(R, D), D, D, D), h * D * D);
  }
  return turned;
}

/** R of per-pair (cos, sin), (D, D) row-major. */
export function rotationMatrix(rotation: Numbers, pairing: RopePairing, D: number): Float64Array {
  const R = new Float64Array(D * D);
  for (let pair = 0; pair < D / 2; pair++) {
    const [x, y] = pairChannels(pairing, D, pair);
    const cos = rotation[2 * pair] ?? Number.NaN;
    const sin = rotation[2 * pair + 1] ?? Number.NaN;
    R[x * D + x] = cos;
    R[x * D + y] = -sin;
    R[y * D + x] = sin;
    R[y * D + y] = cos;
  }
  return R;
}

/** Log of the expected score of every key under rotated moments, (H, T). `keys` (G, T, D), after RoPE. */
export function expectedLogits({ mean, covariance }: Moments, keys: Numbers, { T, H, G, D }: Dims, useCovariance = true): Float64Array {
  const logits = new Float64Array(H * T);
  for (let h = 0; h < H; h++) {
    const g = Math.floor(h / (H / G));
    for (let t = 0; t < T; t++) {
      const key = (i: number): number => keys[(g * T + t) * D + i] ?? Number.NaN;
      let linear = 0;
      let quadratic = 0;
      for (let i = 0; i < D; i++) {
        linear += mean[h * D + i]! * key(i);
        for (let j = 0; j < D; j++) quadratic += key(i) * covariance[(h * D + i) * D + j]! * key(j);
      }
      logits[h * T + t] = linear / Math.sqrt(D) + (useCovariance ? quadratic / (2 * D) : 0);
    }
  }
  return logits;
}

/** Softmax over the non-sink keys per query head, then the mean over each kv head's group, (G, T). */
export function expectedAttention(logits: Numbers, { T, H, G, sinks }: Dims): Float64Array {
  const expected = new Float64Array(G * T);
  for (let h = 0; h < H; h++) {
    const row = Array.from({ length: T - sinks }, (_, i) => logits[h * T + sinks + i] ?? Number.NaN);
    softmax(row).forEach((p, i) => {
      expected[Math.floor(h / (H / G)) * T + sinks + i]! += p / (H / G);
    });
  }
  return expected;
}

/** (e + epsilon) ||v|| on non-sinks. `values` (G, T, D). */
export function weighByValueNorm(expected: Numbers, values: Numbers, epsilon: number, { T, G, D, sinks }: Dims): Float64Array {
  const scores = new Float64Array(G * T);
  for (let g = 0; g < G; g++) for (let t = sinks; t < T; t++) scores[g * T + t] = ((expected[g * T + t] ?? 0) + epsilon) * norm(values, (g * T + t) * D, D);
  return scores;
}

/** Positions kept of one kv head: the `keep` largest scores, the sinks first of all; ties to the earlier position. Sorted. */
export function keepSet(scores: Numbers, head: number, keep: number, { T, sinks }: Pick<Dims, "T" | "sinks">): number[] {
  const score = (t: number): number => (t < sinks ? Number.POSITIVE_INFINITY : (scores[head * T + t] ?? Number.NaN));
  const order = Array.from({ length: T }, (_, t) => t).sort((a, b) => (score(a) === score(b) ? a - b : score(b) - score(a)));
  return order.slice(0, keep).sort((a, b) => a - b);
}

/** Channels (x, y) of a RoPE pair. */
export function pairChannels(pairing: RopePairing, D: number, pair: number): readonly [number, number] {
  return pairing === "half" ? [pair, pair + D / 2] : [2 * pair, 2 * pair + 1];
}

export function softmax(row: Numbers): number[] {
  const top = Math.max(...row);
  const weights = [...row].map((x) => Math.exp(x - top));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

export function norm(rows: Numbers, start: number, D: number): number {
  let sum = 0;
  for (let i = 0; i < D; i++) sum += (rows[start + i] ?? Number.NaN) ** 2;
  return Math.sqrt(sum);
}

/** (rows, inner) x (inner, columns). */
function multiply(a: Numbers, b: Numbers, rows: number, inner: number, columns: number): Float64Array {
  const product = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) for (let n = 0; n < inner; n++) product[i * columns + j]! += (a[i * inner + n] ?? 0) * (b[n * columns + j] ?? 0);
  return product;
}

function transpose(a: Float64Array, D: number): Float64Array {
  return Float64Array.from(a, (_, n) => a[(n % D) * D + Math.floor(n / D)]!);
}

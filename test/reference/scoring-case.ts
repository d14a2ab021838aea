// scoring-case: seeded queries, keys and values that stress the scores: correlated channels, means far from zero, an outlier key.

import { futureRotation } from "../../src/cache/future-rotation";
import type { RopeConfig, RopePairing } from "../../src/model/model-config";
import { type Dims, type Numbers, pairChannels } from "./expected-attention";

export interface ScoringCase {
  readonly dims: Dims;
  readonly rope: RopeConfig;
  readonly queries: Float64Array; // (T, H, D), before RoPE
  readonly rotated: Float64Array; // (T, H, D), after RoPE
  readonly keys: Float64Array; // (G, T, D)
  readonly values: Float64Array; // (G, T, D)
}

/** Seeded uniform numbers in [0, 1) (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x = (x + Math.imul(x ^ (x >>> 7), x | 61)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function gaussian(random: () => number): () => number {
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** @param offset mean of the queries in units of their deviation */
export function scoringCase(dims: Dims, pairing: RopePairing, { seed = 1, offset = 0.5 }: { seed?: number; offset?: number } = {}): ScoringCase {
  const { T, H, G, D } = dims;
  const normal = gaussian(seeded(seed));
  const rope: RopeConfig = { theta: 10000, pairing, divisors: new Float64Array(D / 2).fill(1), magnitude: 1 };
  const centre = Float64Array.from({ length: H * D }, () => offset * normal());
  const direction = Float64Array.from({ length: H * D }, normal);
  const queries = new Float64Array(T * H * D);
  for (let t = 0; t < T; t++) {
    const along = normal();
    for (let n = 0; n < H * D; n++) queries[t * H * D + n] = Math.fround(centre[n]! + normal() + along * direction[n]!);
  }
  const keyCentre = Float64Array.from({ length: G * D }, normal);
  const keys = Float64Array.from({ length: G * T * D }, (_, n) => half(0.7 * keyCentre[Math.floor(n / T / D) * D + (n % D)]! + 0.7 * normal()));
  const values = Float64Array.from({ length: G * T * D }, () => half(normal()));
  // One key much longer than the others, past the sinks: it takes a large share of every softmax.
  const outlier = Math.min(T - 1, dims.sinks + Math.floor(T / 3));
  for (let g = 0; g < G; g++) for (let i = 0; i < D; i++) keys[(g * T + outlier) * D + i]! *= 4;
  return { dims, rope, queries, rotated: rotateRows(queries, rope, dims), keys, values };
}

/** RoPE on (T, H, D) rows of positions first, first + 1, ... */
export function rotateRows(rows: Numbers, rope: RopeConfig, { H, D }: Pick<Dims, "H" | "D">, first = 0): Float64Array {
  const rotated = new Float64Array(rows.length);
  for (let start = 0; start < rows.length; start += D) {
    const turn = futureRotation(rope, D, first + Math.floor(start / (H * D)), 1);
    for (let pair = 0; pair < D / 2; pair++) {
      const [x, y] = pairChannels(rope.pairing, D, pair);
      const [cos, sin] = [turn[2 * pair]!, turn[2 * pair + 1]!];
      const [a, b] = [rows[start + x] ?? Number.NaN, rows[start + y] ?? Number.NaN];
      rotated[start + x] = cos * a - sin * b;
      rotated[start + y] = sin * a + cos * b;
    }
  }
  return rotated;
}

/** Rounded to 10 mantissa bits, as an f16 of ordinary size stores it: then keys lose nothing on their way to the GPU. */
export function half(x: number): number {
  const step = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(x), 2 ** -14))) - 10);
  return Math.round(x / step) * step;
}

/** Bits of an f16 for a value `half` has rounded (normal or subnormal, below 65,520). */
export function halfBits(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (size < 2 ** -14) return sign | Math.round(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  return sign | (((exponent + 15) << 10) + Math.round((size / 2 ** exponent - 1) * 1024));
}

/** Pairs of f16 as u32, the first in the low half. */
export function packHalves(values: Numbers): Uint32Array {
  return Uint32Array.from({ length: values.length / 2 }, (_, n) => halfBits(values[2 * n] ?? 0) | (halfBits(values[2 * n + 1] ?? 0) << 16));
}

// kept-moments (reference, f64): moments as a cache keeps them, planes in f16, and how they follow a token's queries without losing what is less than a step.

import type { RopePairing } from "../../src/model/model-config";
import { fromHalf, toHalf } from "./codec";
import { type Dims, type Moments, type Numbers, pairChannels } from "./expected-attention";
import { addQueries, queryEnergy } from "./group-moments";

type Shape = Pick<Dims, "G" | "D">;

const LARGEST = 65504;

/** Channels (0: x, 1: y) whose mean a plane holds, then those whose covariance. */
const PLANES = [[0], [1], [0, 0], [0, 1], [1, 1]] as const;

/** Records (G, 7 D/2 + 4) as a cache keeps them, (G, 7 D/4 + 4) words: the nearest f16, two pairs a word; four scalars in f32. */
export function packRecords(records: Numbers, { G, D }: Shape): Uint32Array {
  const [planes, words] = [(7 * D) / 2, (7 * D) / 4 + 4];
  const packed = new Uint32Array(G * words);
  for (let g = 0; g < G; g++) {
    const at = (n: number): number => records[g * (planes + 4) + n] ?? Number.NaN;
    const bits = (n: number): number => toHalf(Math.max(-LARGEST, Math.min(LARGEST, at(n))));
    for (let n = 0; n < planes / 2; n++) packed[g * words + n] = bits(2 * n) | (bits(2 * n + 1) << 16);
    packed.set(new Uint32Array(Float32Array.of(at(planes), at(planes + 1), at(planes + 2), at(planes + 3)).buffer), g * words + planes / 2);
  }
  return packed;
}

/** The way back: (G, 7 D/2 + 4). */
export function unpackRecords(packed: Uint32Array, { G, D }: Shape): Float64Array {
  const [planes, words] = [(7 * D) / 2, (7 * D) / 4 + 4];
  const scalars = new Float32Array(packed.slice().buffer);
  return Float64Array.from({ length: G * (planes + 4) }, (_, i) => {
    const [g, n] = [Math.floor(i / (planes + 4)), i % (planes + 4)];
    if (n >= planes) return scalars[g * words + planes / 2 + (n - planes)]!;
    return fromHalf((packed[g * words + (n >> 1)]! >>> (n % 2 ? 16 : 0)) & 0xffff);
  });
}

/** The five planes of pooled moments that a head's record begins with. */
export function planesOf({ mean, covariance }: Moments, g: number, pairing: RopePairing, D: number): number[] {
  const pairs = Array.from({ length: D / 2 }, (_, pair) => pairChannels(pairing, D, pair));
  return PLANES.flatMap(([a, b]) => pairs.map((pair) => (b === undefined ? mean[g * D + pair[a]]! : covariance[(g * D + pair[a]) * D + pair[b]]!)));
}

/** Pooled moments of records, 0 between channels of different pairs; and the mean unit keys, (G, D). */
export function momentsOf(records: Numbers, pairing: RopePairing, { G, D }: Shape): Moments & { readonly anchor: Float64Array } {
  const found = { mean: new Float64Array(G * D), covariance: new Float64Array(G * D * D), anchor: new Float64Array(G * D) };
  for (let g = 0; g < G; g++)
    for (let pair = 0; pair < D / 2; pair++) {
      const channels = pairChannels(pairing, D, pair);
      const of = (plane: number): number => records[g * ((7 * D) / 2 + 4) + (plane * D) / 2 + pair] ?? Number.NaN;
      for (const [plane, [a, b]] of PLANES.entries()) {
        const x = channels[a];
        if (b === undefined) found.mean[g * D + x] = of(plane);
        else for (const [i, j] of [[x, channels[b]] as const, [channels[b], x] as const]) found.covariance[(g * D + i) * D + j] = of(plane);
      }
      for (const side of [0, 1] as const) found.anchor[g * D + channels[side]] = of(5 + side);
    }
  return found;
}

/** Records after one more token's queries (H, D), which weigh 1/count, at least 1/limit: rounded by lot, as the engine draws it. */
export function followQueries(records: Numbers, queries: Numbers, limit: number, pairing: RopePairing, dims: Pick<Dims, "H" | "G" | "D">): Float64Array {
  const { G, D } = dims;
  const size = (7 * D) / 2 + 4;
  const followed = Float64Array.from(records);
  const pooled = momentsOf(records, pairing, dims);
  for (let g = 0; g < G; g++) {
    const count = records[(g + 1) * size - 1] ?? Number.NaN;
    const next = addQueries(pooled, queries, 1 / Math.min(count + 1, limit), dims);
    for (const [n, value] of planesOf(next, g, pairing, D).entries()) followed[g * size + n] = byLot(value, lotOf(count, g, Math.floor(n / 2), n % 2));
    followed[(g + 1) * size - 2] = queryEnergy(next, dims)[g]!;
    followed[(g + 1) * size - 1] = count + 1;
  }
  return followed;
}

/** Rounded to f16 away from zero if the digits that an f32 has more, and the lot, come to more than a step; else towards it. */
export function byLot(value: number, lot: number): number {
  const bits = new Uint32Array(Float32Array.of(Math.max(-LARGEST, Math.min(LARGEST, value))).buffer);
  return fromHalf(toHalf(new Float32Array(Uint32Array.of((bits[0]! + lot) & 0xffffe000).buffer)[0]!));
}

/** 13 bits for one half (0 or 1) of a word of a head's record, when `count` queries were taken in before. */
function lotOf(count: number, head: number, word: number, half: number): number {
  return (pcg((pcg((head + pcg(count)) >>> 0) + word) >>> 0) >>> (16 * half)) & 0x1fff;
}

/** Jarzynski and Olano 2020. */
function pcg(n: number): number {
  const s = (Math.imul(n, 747796405) + 2891336453) >>> 0;
  const w = Math.imul((s >>> ((s >>> 28) + 4)) ^ s, 277803737) >>> 0;
  return ((w >>> 22) ^ w) >>> 0;
}

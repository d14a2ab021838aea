// attention-history (reference, f64): AGACC's importance (seed document 001, 2.2 to 2.6): attention of the N_q tokens that follow, decayed average,
// divided by what its distance alone earns, maximum over blocks. Averages over layers are the caller's: planes add up.

import type { Dims, Numbers } from "../expected-attention";
import { attentionRow, type Received } from "./attention-received";

export interface HistoryOptions {
  /** N_q: queries that count, the first so many after the token itself. */
  readonly followers: number;
  /** Of P(d), see positionFactor; default .5, half way between no correction and uniform attention. */
  readonly exponent?: number;
  /** Tokens a block, from position 0 on; 1 is none. */
  readonly block: number;
  /** Heads that are averaged: all of the layer (the document's; one plane for every kv head), or the kv head's own group. */
  readonly heads: "all" | "group";
}

/**
 * Importance after a prompt, (G, T): S as the first I(t) there is, over P, block maximum. Sinks 0.
 * @param planes S of other layers to average with, (G, T) each
 */
export function attentionHistory(
  given: Pick<Received, "queries" | "keys">,
  options: HistoryOptions,
  dims: Dims,
  planes: readonly Numbers[] = [],
): Float64Array {
  const own = followerAttention(given, options, dims);
  const mean = own.map((score, n) => planes.reduce((sum, plane) => sum + (plane[n] ?? Number.NaN), score) / (planes.length + 1));
  return blockMaximum(overDistance(mean, dims.T, dims, options.exponent), options.block, dims);
}

/**
 * S_i, (G, T): mean over the queries of positions i + 1 to i + N_q of the attention they pay to i. Near the end fewer have come: the mean is over those;
 * the last token has none and gets the mean of the others. `queries` (T, H, D) after RoPE, every position's.
 */
export function followerAttention(
  given: Pick<Received, "queries" | "keys">,
  { followers, heads }: Pick<HistoryOptions, "followers" | "heads">,
  dims: Dims,
): Float64Array {
  const { T, H, G, sinks } = dims;
  const byHead = new Float64Array(H * T);
  for (let h = 0; h < H; h++)
    for (let q = 1; q < T; q++) {
      const row = attentionRow(given, q, h, dims);
      for (let t = Math.max(0, q - followers); t < q; t++) byHead[h * T + t]! += row[t]! / Math.min(followers, T - 1 - t);
    }
  const scores = new Float64Array(G * T);
  for (let g = 0; g < G; g++) {
    const mine = Array.from({ length: H }, (_, h) => h).filter((h) => heads === "all" || Math.floor(h / (H / G)) === g);
    for (let t = sinks; t + 1 < T; t++) scores[g * T + t] = mine.reduce((sum, h) => sum + byHead[h * T + t]! / mine.length, 0);
    for (let t = sinks; t + 1 < T; t++) scores[g * T + T - 1]! += scores[g * T + t]! / (T - 1 - sinks);
  }
  return scores;
}

/** I(t) = alpha S + (1 - alpha) I(t - 1). */
export function decayed(before: Numbers, now: Numbers, alpha: number): Float64Array {
  return Float64Array.from(now, (score, n) => alpha * score + (1 - alpha) * (before[n] ?? Number.NaN));
}

/** 2.3's P(d), which the document leaves open: what a token d positions before the next one earns by its distance. */
export function positionFactor(distance: number, exponent = 0.5): number {
  return (1 + distance) ** -exponent;
}

/** I / P(now - position), (G, T); `now` is the position of the next token. */
export function overDistance(scores: Numbers, now: number, { T }: Pick<Dims, "T">, exponent?: number, positions?: readonly number[]): Float64Array {
  return Float64Array.from(scores, (score, n) => score / positionFactor(now - (positions?.[n % T] ?? n % T), exponent));
}

/** Every token gets its block's greatest, (G, T). Blocks are of positions; sinks neither give nor get. */
export function blockMaximum(scores: Numbers, block: number, { T, sinks }: Pick<Dims, "T" | "sinks">, positions?: readonly number[]): Float64Array {
  const blockOf = (n: number): number => Math.floor((positions?.[n % T] ?? n % T) / block);
  return Float64Array.from(scores, (_, n) => {
    if (n % T < sinks) return 0;
    const start = n - (n % T);
    let most = 0;
    for (let t = sinks; t < T; t++) if (blockOf(start + t) === blockOf(n)) most = Math.max(most, scores[start + t] ?? Number.NaN);
    return most;
  });
}

// lagkv (reference, f64): tokens of one partition judged by the spread of their channels on the next partition's scale (Liang et al. 2025, 2504.04704).

import { type Dims, type Numbers, softmax } from "../expected-attention";

export interface LagOptions {
  /** Tokens a partition. */
  readonly lag: number;
  /** Ranks within a partition divided by its size (default), or the scores themselves (cross scoring). */
  readonly crossScoring?: boolean;
}

/**
 * (G, T). Past the sinks, partitions of `lag` tokens: every channel is put on the scale of the next partition's least and greatest value of that channel; a token's
 * score is the softmax over its partition of the (unbiased) deviation over channels; keys' and values' scores are averaged.
 * A channel that does not vary there counts 0 (kvpress divides by 0). Sinks, the last full partition
 * and the tail get 1. Shorter than sinks + two partitions: later is better.
 */
export function lagkv(keys: Numbers, values: Numbers, { lag, crossScoring = false }: LagOptions, { T, G, D, sinks }: Omit<Dims, "H">): Float64Array {
  const scores = new Float64Array(G * T).fill(1);
  const full = Math.floor((T - sinks) / lag);
  if (full < 2) return scores.map((one, n) => (n % T < sinks ? one : ((n % T) - sinks + 1) / (T - sinks + 1)));
  for (let g = 0; g < G; g++)
    for (let part = 0; part + 1 < full; part++) {
      const start = sinks + part * lag;
      const ofKeys = partScores(keys, g * T + start, lag, D);
      const ofValues = partScores(values, g * T + start, lag, D);
      const mean = ofKeys.map((score, n) => (score + ofValues[n]!) / 2);
      (crossScoring ? mean : ranks(mean).map((rank) => rank / lag)).forEach((score, n) => {
        scores[g * T + start + n] = score;
      });
    }
  return scores;
}

/** Softmax of the deviations over channels of `lag` rows from `first` on, scaled by the next `lag` rows. */
function partScores(rows: Numbers, first: number, lag: number, D: number): number[] {
  const at = (row: number, i: number): number => rows[row * D + i] ?? Number.NaN;
  const scaled = Array.from({ length: lag }, () => new Float64Array(D));
  for (let i = 0; i < D; i++) {
    const next = Array.from({ length: lag }, (_, n) => at(first + lag + n, i));
    const [least, most] = [Math.min(...next), Math.max(...next)];
    for (let n = 0; n < lag; n++) scaled[n]![i] = most > least ? (at(first + n, i) - least) / (most - least) : 0;
  }
  return softmax(scaled.map(deviation));
}

function deviation(x: Numbers): number {
  const mean = Array.from(x).reduce((sum, value) => sum + value / x.length, 0);
  return Math.sqrt(Array.from(x).reduce((sum, value) => sum + (value - mean) ** 2, 0) / (x.length - 1));
}

/** Place of each in rising order, from 0; ties by index. */
function ranks(scores: readonly number[]): number[] {
  const order = scores.map((_, n) => n).sort((a, b) => scores[a]! - scores[b]! || a - b);
  const rank = new Array<number>(scores.length).fill(0);
  order.forEach((n, place) => {
    rank[n] = place;
  });
  return rank;
}

// ensemble (reference, f64): methods.md 10.3's scores of a prompt: B, EA/4 + SnapKV/4 + diversity/2, each with sum 1 over a head's non-sink slots; and the one with a replay.

import type { Dims, Numbers } from "./expected-attention";

type HeadDims = Pick<Dims, "T" | "G" | "sinks">;

/** Each head's non-sinks divided by their sum; sinks 0. (G, T). */
export function normalize(scores: Numbers, { T, G, sinks }: HeadDims): Float64Array {
  const result = new Float64Array(G * T);
  for (let g = 0; g < G; g++) {
    let sum = 0;
    for (let t = sinks; t < T; t++) sum += scores[g * T + t] ?? Number.NaN;
    for (let t = sinks; t < T; t++) result[g * T + t] = (scores[g * T + t] ?? Number.NaN) / sum;
  }
  return result;
}

export function ensemble(expected: Numbers, snapkv: Numbers, diversity: Numbers, dims: HeadDims): Float64Array {
  const parts = [expected, snapkv, diversity].map((scores) => normalize(scores, dims));
  return Float64Array.from({ length: dims.G * dims.T }, (_, n) => parts[0]![n]! / 4 + parts[1]![n]! / 4 + parts[2]![n]! / 2);
}

/**
 * methods.md 10.3's best score with a replay: the larger of the replay's score and the mean of expected attention, SnapKV and H2O (over the queries that see a slot), each
 * with sum 1 over a head's non-sink slots.
 */
export function ensembleReplay(expected: Numbers, snapkv: Numbers, h2o: Numbers, replay: Numbers, dims: HeadDims): Float64Array {
  const parts = [expected, snapkv, h2o].map((scores) => normalize(scores, dims));
  const replayed = normalize(replay, dims);
  return replayed.map((score, n) => Math.max(score, (parts[0]![n]! + parts[1]![n]! + parts[2]![n]!) / 3));
}

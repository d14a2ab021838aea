// expected-attention: the closed forms behind the score, against what they stand for: sampled queries and exact attention.

import { expect, test } from "vitest";
import { futureRotation } from "../../../src/cache/future-rotation";
import { type Dims, expectedAttention, expectedLogits, type Moments, queryMoments, rotateMoments, softmax } from "../../reference/expected-attention";
import { keepBlocks, poolMoments } from "../../reference/group-moments";
import { gaussian, rotateRows, scoringCase, seeded } from "../../reference/scoring-case";
import { windowAttention } from "../../reference/snapkv";
import { expectClose, tolerances } from "../../tolerances";

const dims: Dims = { T: 20, H: 4, G: 2, D: 8, sinks: 0 };
const given = scoringCase(dims, "half");

test("without covariance the score is the softmax of the mean query's logits", () => {
  const moments = queryMoments(given.queries, dims);
  const still: Moments = { mean: moments.mean, covariance: new Float64Array(moments.covariance.length) };
  const one: Dims = { ...dims, H: 2 };
  const scores = expectedAttention(expectedLogits({ mean: still.mean.subarray(0, 16), covariance: still.covariance.subarray(0, 128) }, given.keys, one), one);
  for (let g = 0; g < dims.G; g++) {
    const dot = (t: number): number => [0, 1, 2, 3, 4, 5, 6, 7].reduce((sum, i) => sum + still.mean[g * 8 + i]! * given.keys[(g * dims.T + t) * 8 + i]!, 0);
    const row = softmax(Array.from({ length: dims.T }, (_, t) => dot(t) / Math.sqrt(8)));
    expectClose(scores.subarray(g * dims.T, (g + 1) * dims.T), row, tolerances.f64);
  }
});

test("one query and one future position give exact attention at that position", () => {
  const single = { ...dims, T: 1 };
  const query = given.queries.subarray(0, dims.H * dims.D);
  const turned = rotateMoments(queryMoments(query, single), futureRotation(given.rope, dims.D, dims.T, 1), "half", dims);
  const scores = expectedAttention(expectedLogits(turned, given.keys, dims), dims);
  // A window of one query sees all T keys; its own position is T.
  expectClose(scores, windowAttention(rotateRows(query, given.rope, dims, dims.T), 1, given.keys, dims), tolerances.f64);
});

test("mean of exp over sampled queries is exp of the log-score", () => {
  const D = 4;
  const small: Dims = { T: 6, H: 1, G: 1, D, sinks: 0 };
  const normal = gaussian(seeded(7));
  const factor = Float64Array.from({ length: D * D }, () => 0.5 * normal()); // C = F F^T
  const mean = Float64Array.from({ length: D }, normal);
  const covariance = Float64Array.from({ length: D * D }, (_, n) =>
    [0, 1, 2, 3].reduce((sum, m) => sum + factor[Math.floor(n / D) * D + m]! * factor[(n % D) * D + m]!, 0),
  );
  const keys = Float64Array.from({ length: small.T * D }, normal);
  const sums = new Float64Array(small.T);
  const samples = 400_000;
  for (let n = 0; n < samples; n++) {
    const noise = [normal(), normal(), normal(), normal()];
    const query = Array.from({ length: D }, (_, i) => mean[i]! + noise.reduce((sum, z, m) => sum + factor[i * D + m]! * z, 0));
    for (let t = 0; t < small.T; t++) sums[t]! += Math.exp(query.reduce((sum, q, i) => sum + q * keys[t * D + i]!, 0) / Math.sqrt(D)) / samples;
  }
  expectClose(sums, expectedLogits({ mean, covariance }, keys, small).map(Math.exp), tolerances.monteCarlo);
});

test("pooled moments are those of all the group's queries as one sample", () => {
  const pooled = poolMoments(queryMoments(given.queries, dims), dims);
  // Heads 0 and 1 as 2T queries of one head.
  const together = Array.from({ length: 2 * dims.T * dims.D }, (_, n) => given.queries[Math.floor(n / (2 * dims.D)) * dims.H * dims.D + (n % (2 * dims.D))]!);
  const sample = queryMoments(together, { T: 2 * dims.T, H: 1, G: 1, D: dims.D, sinks: 0 });
  expectClose(pooled.mean.subarray(0, dims.D), sample.mean, tolerances.f64);
  expectClose(pooled.covariance.subarray(0, dims.D ** 2), sample.covariance, tolerances.f64);
});

test("blocks keep the diagonal and a channel's RoPE partner, nothing else", () => {
  const full: Moments = { mean: new Float64Array(4), covariance: Float64Array.from({ length: 16 }, (_, n) => n + 1) };
  expect([...keepBlocks(full, "half", 4).covariance]).toEqual([1, 0, 3, 0, 0, 6, 0, 8, 9, 0, 11, 0, 0, 14, 0, 16]);
  expect([...keepBlocks(full, "neighbour", 4).covariance]).toEqual([1, 2, 0, 0, 5, 6, 0, 0, 0, 0, 11, 12, 0, 0, 15, 16]);
});

// kvpress-case: the f64 references against NVIDIA kvpress 0.5.5 itself, on one layer of a small random model: 37 tokens, 3 query heads a kv head, f64.
// Where kvpress does something we do not want, the test's name says so: "kvpress: ..." is what it does, the other half is what is right.

import { describe, expect, test } from "vitest";
import { futureRotation } from "../../../src/cache/future-rotation";
import type { RopeConfig } from "../../../src/model/model-config";
import golden from "../../golden/kvpress-case.json";
import { adaKeep, keepCount, pyramidKvpress } from "../../reference/budgets";
import { type Dims, keepSet, type Numbers, queryMoments, rotateMoments } from "../../reference/expected-attention";
import { critical, projectedL1 } from "../../reference/scorers/critical";
import { type ExpectedOptions, expectedAttentionScore, storedExpectedAttention } from "../../reference/scorers/expected-attention-score";
import { h2oExposed } from "../../reference/scorers/h2o";
import { lagkv } from "../../reference/scorers/lagkv";
import { keydiff, knorm } from "../../reference/scorers/norms";
import { cap } from "../../reference/scorers/only-kvpress/cap";
import { channelScores, dropChannels } from "../../reference/scorers/only-kvpress/channels";
import { keepChunks, keepPerChunk, keepStreaming } from "../../reference/scorers/only-kvpress/chunks";
import { cur } from "../../reference/scorers/only-kvpress/cur";
import { mergeValues } from "../../reference/scorers/only-kvpress/merging";
import { nonCausal, nonCausalSums } from "../../reference/scorers/only-kvpress/non-causal";
import { rerotateKeys } from "../../reference/scorers/only-kvpress/rerotation";
import { streamingLlm } from "../../reference/scorers/positions";
import { snapkv, tova } from "../../reference/scorers/window";
import { rotateRows } from "../../reference/scoring-case";
import { expectClose, tolerances } from "../../tolerances";

const { T, H, G, D, hidden } = golden.dims;
const dims: Dims = { T, H, G, D, sinks: 4 };
const noSinks: Dims = { ...dims, sinks: 0 };
const keep = keepCount(T, golden.removed);
const rope: RopeConfig = { theta: 10000, pairing: "half", divisors: new Float64Array(D / 2).fill(1), magnitude: 1 };
const queries = doubles(golden.queries); // (T, H, D), before RoPE
const keys = doubles(golden.keys); // (G, T, D)
const values = doubles(golden.values); // (G, T, D)
const output = doubles(golden.output); // (hidden, H, D)
const rotated = rotateRows(queries, rope, dims);
const rotation = futureRotation(rope, D, T, golden.future);
const options: ExpectedOptions = { keys, values, rotation, pairing: "half" };

type Scored = keyof typeof golden.scores;
type Kept = keyof typeof golden.kept;

/** Scores past `from` within tolerance, and the same slots kept. */
function agrees(name: Scored, scores: Numbers, sinks: number, from = sinks, until = T): void {
  const want = doubles(golden.scores[name]);
  for (let g = 0; g < G; g++)
    expectClose(Array.from(scores).slice(g * T + from, g * T + until), want.subarray(g * T + from, g * T + until), tolerances.kvpressDouble);
  keeps(name, (g) => keepSet(scores, g, keep, { T, sinks }));
}

function keeps(name: Kept, slots: (head: number) => readonly number[]): void {
  expect(Array.from({ length: G }, (_, g) => slots(g))).toEqual(golden.kept[name]);
}

const lastQueries = (count: number): Float64Array => rotated.subarray((T - count) * H * D);
const snap = snapkv({ queries: lastQueries(6), window: 6, keys, pool: "mean", kernel: 3, keepWindow: true }, noSinks);
const bare = expectedAttentionScore(queries, { ...options, useValueNorm: false }, dims);

/** Sinks (or other protected slots) at infinity, as AdaKV gets them from kvpress's scorers. */
const protect = (scores: Numbers): Float64Array => Float64Array.from(scores, (score, n) => (n % T < 4 ? Number.POSITIVE_INFINITY : score));

describe("scores and what they keep", () => {
  test("expected attention, its switches, and stored statistics", () => {
    agrees("expected-attention", expectedAttentionScore(queries, options, dims), 4);
    agrees("expected-attention-epsilon", expectedAttentionScore(queries, { ...options, epsilon: 0.02 }, dims), 4);
    agrees("expected-attention-no-value-norm", bare, 4);
    agrees("expected-attention-no-covariance", expectedAttentionScore(queries, { ...options, useCovariance: false }, dims), 4);
    const stored = { mean: doubles(golden.storedMean), covariance: doubles(golden.storedCovariance) };
    agrees("expected-attention-stored", storedExpectedAttention(stored, options, dims), 4);
  });

  test("snapkv", () => agrees("snapkv", snap, 0, 0, T - 6));

  test("tova: kvpress keeps the last token whatever its score", () => {
    const scores = tova(lastQueries(1), keys, noSinks);
    for (let g = 0; g < G; g++) scores[g * T + T - 1] = Number.POSITIVE_INFINITY;
    agrees("tova", scores, 0, 0, T - 1);
  });

  test("observed attention is h2o per query that sees the token", () => agrees("observed-attention", h2oExposed({ queries: rotated, keys }, noSinks), 0));

  test("knorm and keydiff", () => {
    agrees("knorm", knorm(keys, dims), 0);
    agrees("keydiff", keydiff(keys, dims), 0);
  });

  test("lagkv, by rank and by score", () => {
    const byRank = lagkv(keys, values, { lag: 6 }, { ...dims, sinks: 2 });
    expectClose(byRank, doubles(golden.scores.lagkv), tolerances.f64);
    // Ranks tie between partitions; torch's topk and keepSet break ties differently, among the same scores.
    for (let g = 0; g < G; g++) {
      const sorted = (slots: readonly number[]): number[] => slots.map((t) => byRank[g * T + t]!).sort((x, y) => x - y);
      expect(sorted(keepSet(byRank, g, keep, { T, sinks: 2 }))).toEqual(sorted(golden.kept.lagkv[g]!));
    }
    agrees("lagkv-cross", lagkv(keys, values, { lag: 6, crossScoring: true }, { ...dims, sinks: 2 }), 2);
    keeps("lagkv-short", (g) => keepSet(lagkv(keys, values, { lag: 20 }, dims), g, keep, dims));
  });

  test("streaming-llm", () => keeps("streaming-llm", (g) => keepSet(streamingLlm(dims), g, keep, dims)));

  test("CUR and Cap", () => {
    agrees("cur", cur(keys, values, 8, dims), 0);
    agrees("cap", cap(rotateMoments(queryMoments(queries, dims), rotation, "half", dims), keys, values, {}, dims), 4);
  });

  test("non-causal attention: kvpress lets the padding of a short last chunk take and give attention; here it does not", () => {
    agrees("non-causal", nonCausal(rotated, keys, values, { chunk: 8, padded: true }, noSinks), 0);
    // Every query hands out 1, to keys of its own chunk: a chunk's columns sum to its length.
    const tail = (padded: boolean): number =>
      nonCausalSums(rotated, keys, { chunk: 8, padded }, noSinks)
        .subarray(32, T)
        .reduce((sum, p) => sum + p, 0);
    expect(tail(false)).toBeCloseTo(T - 32, 10);
    expect(Math.abs(tail(true) - (T - 32))).toBeGreaterThan(0.1);
  });
});

describe("what wrappers keep", () => {
  const kept = (scores: Numbers, safeguard = 0.2): number[][] => adaKeep(scores, G, keep, safeguard);

  test("AdaKV over expected attention and over SnapKV", () => {
    const expected = expectedAttentionScore(queries, { ...options, epsilon: 0.01 }, dims);
    keeps("ada-expected-attention", (g) => kept(protect(expected))[g]!);
    keeps("ada-snapkv", (g) => kept(snap)[g]!);
  });

  test("CriticalKV over expected attention and over SnapKV, and within AdaKV's budgets", () => {
    const weights = projectedL1(values, output, hidden, dims);
    keeps("critical-expected-attention", (g) => keepSet(critical(bare, weights, { keep }, dims), g, keep, dims));
    const counts = kept(protect(bare)).map((slots) => slots.length);
    keeps("critical-ada-expected-attention", (g) => keepSet(critical(bare, weights, { keep: counts[g]! }, dims), g, counts[g]!, dims));
    keeps("critical-snapkv", (g) => keepSet(critical(snap, weights, { keep }, noSinks), g, keep, noSinks));
  });

  test("PyramidKV's layers", () => {
    expect(pyramidKvpress({ layers: 4, tokens: T, window: 3, removed: golden.removed, beta: 4 })).toEqual(golden.pyramid);
  });

  test("ThinK's channels", () => {
    expect(dropChannels(channelScores(lastQueries(5), keys, dims), 0.5, dims)).toEqual(golden.droppedChannels);
  });

  test("chunks, chunk by chunk, block by block", () => {
    const scores = knorm(keys, dims);
    for (let g = 0; g < G; g++) expect(keepChunks(scores, 5, golden.removed, dims)).toEqual(golden.kept["chunkkv-knorm"][g]);
    const part = (start: number, length: number): Float64Array =>
      Float64Array.from({ length: G * length }, (_, n) => scores[Math.floor(n / length) * T + start + (n % length)]!);
    keeps("chunk-knorm", (g) => keepPerChunk(part, 7, golden.removed, dims)[g]!);
    keeps("block-knorm", (g) => keepStreaming([...scores.subarray(g * T, (g + 1) * T)], 8, keep));
  });

  test("re-rotated keys and merged values", () => {
    const slots = [0, 1].map((g) => keepSet(knorm(keys, dims), g, keep, noSinks));
    const turned = doubles(golden.rerotatedKeys);
    const merged = doubles(golden.mergedValues);
    const ours = mergeValues(keys, values, slots, dims);
    for (let g = 0; g < G; g++) {
      expectClose(rerotateKeys(keys, g, slots[g]!, rope, dims), turned.subarray(g * keep * D, (g + 1) * keep * D), tolerances.kvpressDouble);
      const inKvpressOrder = golden.mergedOrder[g]!.flatMap((t) => [...ours.subarray((g * T + t) * D, (g * T + t + 1) * D)]);
      expectClose(inKvpressOrder, merged.subarray(g * keep * D, (g + 1) * keep * D), tolerances.kvpressDouble);
    }
  });
});

function doubles(base64: string): Float64Array {
  return new Float64Array(Uint8Array.from(Buffer.from(base64, "base64")).buffer);
}

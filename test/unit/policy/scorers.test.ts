// scorers: the f64 references against definitions written another way, against hand-made cases, and for what every score must satisfy.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Dims, keepSet, softmax } from "../../reference/expected-attention";
import { attentionHistory, blockMaximum, decayed, followerAttention, overDistance } from "../../reference/scorers/attention-history";
import { attentionReceived, attentionReceivedByHead, attentionRow, overGroup } from "../../reference/scorers/attention-received";
import { critical, outputGram, projectedL1, projectedNorm } from "../../reference/scorers/critical";
import { h2o, h2oAfter, h2oExposed, squaredAttention } from "../../reference/scorers/h2o";
import { kvzip, kvzipPlus } from "../../reference/scorers/kvzip";
import { lagkv } from "../../reference/scorers/lagkv";
import { qfilter, qfilterImportance, valueNorm } from "../../reference/scorers/norms";
import { pcg, random, randomScore, streamingLlm } from "../../reference/scorers/positions";
import { rkv, rkvImportance, rkvRedundancy } from "../../reference/scorers/r-kv";
import { defensive, snapkv, tova } from "../../reference/scorers/window";
import { scoringCase } from "../../reference/scoring-case";
import { windowAttention } from "../../reference/snapkv";
import { expectClose, tolerances } from "../../tolerances";

const dims: Dims = { T: 13, H: 6, G: 2, D: 4, sinks: 2 };
const { T, H, G, D } = dims;
const given = scoringCase(dims, "half", { seed: 3 });
const { keys, values, rotated } = given;
const lastQueries = (count: number): Float64Array => rotated.subarray((T - count) * H * D);
const whole: Dims = { ...dims, sinks: 0 };

describe("attention received", () => {
  test("rows are probabilities over what is seen, and nothing else", () => {
    for (let q = 0; q < T; q++) {
      const row = attentionRow({ queries: rotated, keys }, q, 5, dims);
      expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
      expect(row.subarray(q + 1).every((p) => p === 0)).toBe(true);
      expect(row.subarray(0, q + 1).every((p) => p > 0)).toBe(true);
    }
  });

  test("mean of the last window is the older reference's", () => {
    expectClose(
      attentionReceived({ queries: lastQueries(5), keys, reduce: "mean", group: "mean" }, dims),
      windowAttention(lastQueries(5), 5, keys, dims),
      tolerances.f64,
    );
  });

  test("sum, squares, maximum and exposure of a case worked by hand", () => {
    // One head, D = 1, keys 0: every query spreads evenly over what it sees: rows 1; 1/2 1/2; 1/3 1/3 1/3.
    const small: Dims = { T: 3, H: 1, G: 1, D: 1, sinks: 0 };
    const even = { queries: [1, 2, 3], keys: [0, 0, 0] };
    expectClose(attentionReceivedByHead(even, "sum", small), [11 / 6, 5 / 6, 1 / 3], tolerances.f64);
    expectClose(attentionReceivedByHead(even, "mean", small), [11 / 18, 5 / 18, 1 / 9], tolerances.f64);
    expectClose(attentionReceivedByHead(even, "mean-exposed", small), [11 / 18, 5 / 12, 1 / 3], tolerances.f64);
    expectClose(attentionReceivedByHead(even, "max", small), [1, 1 / 2, 1 / 3], tolerances.f64);
    expectClose(attentionReceivedByHead(even, "sum-squares", small), [1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9], tolerances.f64);
  });

  test("heads fold by mean, sum and maximum", () => {
    const byHead = [1, 5, 3, 2, 8, 0]; // (H 3, T 2)
    const three = { T: 2, H: 3, G: 1 };
    expect([...overGroup(byHead, "mean", three)]).toEqual([4, 7 / 3]);
    expect([...overGroup(byHead, "sum", three)]).toEqual([12, 7]);
    expect([...overGroup(byHead, "max", three)]).toEqual([8, 5]);
  });

  test("the order of slots is of no consequence, as they carry positions", () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray(
          Array.from({ length: T }, (_, t) => t),
          { minLength: T },
        ),
        (order) => {
          const moved = Float64Array.from({ length: G * T * D }, (_, n) => keys[(Math.floor(n / (T * D)) * T + order[Math.floor(n / D) % T]!) * D + (n % D)]!);
          const plain = attentionReceived({ queries: lastQueries(4), keys, reduce: "max", group: "sum" }, dims);
          const shuffled = attentionReceived({ queries: lastQueries(4), keys: moved, keyPositions: order, reduce: "max", group: "sum" }, dims);
          expectClose(
            shuffled,
            Float64Array.from({ length: G * T }, (_, n) => plain[Math.floor(n / T) * T + order[n % T]!]!),
            tolerances.f64,
          );
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe("window scores", () => {
  test("TOVA is one plane for all kv heads", () => {
    const scores = tova(lastQueries(1), keys, dims);
    expect([...scores.subarray(0, T)]).toEqual([...scores.subarray(T)]);
    expect(scores.reduce((sum, p, n) => sum + (n < T ? p : 0), 0)).toBeLessThan(1); // the sinks' part is missing
    expect(
      tova(lastQueries(1), keys, whole)
        .subarray(0, T)
        .reduce((sum, p) => sum + p, 0),
    ).toBeCloseTo(1, 12);
  });

  test("SnapKV: a kernel of 1 is no pool, the max pool dominates the mean pool, the window is kept where asked", () => {
    const options = { queries: lastQueries(4), window: 4, keys } as const;
    const bare = snapkv({ ...options, pool: "mean", kernel: 1 }, dims);
    expectClose(bare.subarray(2, T), windowAttention(lastQueries(4), 4, keys, dims).subarray(2, T), tolerances.f64);
    const most = snapkv({ ...options, pool: "max", kernel: 5 }, dims);
    const mean = snapkv({ ...options, pool: "mean", kernel: 5 }, whole);
    for (let t = 4; t < T - 2; t++) expect(most[t]!).toBeGreaterThanOrEqual(mean[t]!); // away from the sinks, which the max pool leaves out
    const kept = snapkv({ ...options, pool: "max", kernel: 5, keepWindow: true }, dims);
    for (let g = 0; g < G; g++) expect(keepSet(kept, g, 7, dims)).toEqual(expect.arrayContaining([0, 1, 9, 10, 11, 12]));
  });

  test("defensive: one query's interest is enough, and nobody falls below the mean", () => {
    const most = attentionReceived({ queries: lastQueries(4), keys, reduce: "max", group: "max" }, dims);
    const scores = defensive({ queries: lastQueries(4), keys }, dims);
    for (let g = 0; g < G; g++) {
      const row = most.subarray(g * T + 2, (g + 1) * T);
      const mean = row.reduce((sum, p) => sum + p / row.length, 0);
      expect(Math.min(...scores.subarray(g * T + 2, (g + 1) * T))).toBeCloseTo(mean, 12);
      expect(Math.max(...scores.subarray(g * T + 2, (g + 1) * T))).toBe(Math.max(...row));
    }
    const norms = valueNorm(values, dims);
    expectClose(
      defensive({ queries: lastQueries(4), keys, values }, dims),
      scores.map((score, n) => score * norms[n]!),
      tolerances.f64,
    );
  });
});

describe("scores over all queries", () => {
  test("h2o: columns of causal attention; the running form adds one row; exposure divides by T - t", () => {
    const all = { queries: rotated, keys };
    const sums = h2o(all, whole);
    expect(sums.subarray(0, T).reduce((sum, p) => sum + p, 0)).toBeCloseTo(T, 10); // every query hands out 1
    expectClose(
      h2oExposed(all, whole),
      sums.map((sum, n) => sum / (T - (n % T))),
      tolerances.f64,
    );
    // All but the last query, then the last.
    const before = attentionReceived(
      { queries: rotated.subarray(0, (T - 1) * H * D), queryPositions: Array.from({ length: T - 1 }, (_, t) => t), keys, reduce: "sum", group: "mean" },
      whole,
    );
    expectClose(h2oAfter(before, { queries: lastQueries(1), keys }, whole), sums, tolerances.f64);
  });

  test("squared attention is below attention and adds over heads", () => {
    const all = { queries: rotated, keys };
    const squares = squaredAttention(all, whole);
    const sums = h2o(all, whole);
    expect(squares.every((square, n) => square > 0 && square <= (sums[n]! * H) / G)).toBe(true);
    const byHead = attentionReceivedByHead(all, "sum-squares", whole);
    expectClose(squares, overGroup(byHead, "sum", whole), tolerances.f64);
  });
});

describe("attention-history (AGACC)", () => {
  const all = { queries: rotated, keys };

  test("followers: mean over the next N_q queries, heads and nothing else", () => {
    const scores = followerAttention(all, { followers: 3, heads: "all" }, dims);
    const t = 5;
    let sum = 0;
    for (let h = 0; h < H; h++) for (const q of [6, 7, 8]) sum += attentionRow(all, q, h, dims)[t]! / (3 * H);
    expect(scores[t]).toBeCloseTo(sum, 12);
    expect(scores[T + t]).toBeCloseTo(sum, 12);
    const group = followerAttention(all, { followers: 3, heads: "group" }, dims);
    expect((group[t]! + group[T + t]!) / 2).toBeCloseTo(sum, 12);
    const near = T - 2; // one follower only
    expect(followerAttention(all, { followers: 3, heads: "group" }, dims)[near]).toBeCloseTo(
      [0, 1, 2].reduce((all3, h) => all3 + attentionRow(all, T - 1, h, dims)[near]! / 3, 0),
      12,
    );
  });

  test("decay, distance and blocks", () => {
    expect([...decayed([1, 2], [3, 4], 0.25)]).toEqual([1.5, 2.5]);
    // uniform attention is no merit: 1 / (1 + d), divided by the same, is flat; by its root, the root is left
    const even = [1 / 5, 1 / 4, 1 / 3, 1 / 2];
    expectClose(overDistance(even, 4, { T: 4 }, 1), [1, 1, 1, 1], tolerances.f64);
    expectClose(overDistance(even, 4, { T: 4 }), even.map(Math.sqrt), tolerances.f64);
    expectClose(overDistance(even, 4, { T: 4 }, 0), even, tolerances.f64);
    expect([...blockMaximum([9, 1, 5, 2, 7, 3], 2, { T: 6, sinks: 1 })]).toEqual([0, 1, 5, 5, 7, 7]);
    expect([...blockMaximum([9, 1, 5, 2, 7, 3], 4, { T: 6, sinks: 1 })]).toEqual([0, 5, 5, 5, 7, 7]);
  });

  test("other layers' planes join by their mean", () => {
    const options = { followers: 4, block: 1, heads: "all", exponent: 0 } as const;
    const own = followerAttention(all, options, dims);
    const plane = own.map((_, n) => (n % T < 2 ? 0 : n));
    expectClose(
      attentionHistory(all, options, dims, [plane]),
      own.map((score, n) => (n % T < 2 ? 0 : (score + plane[n]!) / 2)),
      tolerances.f64,
    );
  });
});

describe("critical", () => {
  const hidden = 5;
  const output = Float64Array.from({ length: hidden * H * D }, (_, n) => Math.sin(1.7 * n + 0.3));

  test("the Gram matrix gives the norm of the projected value", () => {
    const norms = projectedNorm(values, outputGram(output, hidden, dims), dims);
    const [g, t] = [1, 6];
    let sum = 0;
    for (let h = g * 3; h < g * 3 + 3; h++)
      for (let r = 0; r < hidden; r++) {
        let out = 0;
        for (let i = 0; i < D; i++) out += output[(r * H + h) * D + i]! * values[(g * T + t) * D + i]!;
        sum += out ** 2;
      }
    expect(norms[g * T + t]).toBeCloseTo(Math.sqrt(sum), 10);
  });

  test("L1 lies between L2 and sqrt(hidden) times it, head by head", () => {
    const oneHead: Dims = { ...dims, H: 2 }; // one query head a kv head
    const part = output.subarray(0, hidden * 2 * D);
    const l2 = projectedNorm(values, outputGram(part, hidden, oneHead), oneHead);
    projectedL1(values, part, hidden, oneHead).forEach((l1, n) => {
      expect(l1).toBeGreaterThanOrEqual(l2[n]! * (1 - 1e-9));
      expect(l1).toBeLessThanOrEqual(Math.sqrt(hidden) * l2[n]! * (1 + 1e-9));
    });
  });

  test("half by the score, half by score times norm", () => {
    const one = { T: 6, G: 1, sinks: 0 };
    const base = [6, 5, 4, 3, 2, 1];
    const weights = [1, 1, 1, 1, 1, 100];
    expect(keepSet(critical(base, weights, { keep: 4 }, one), 0, 4, one)).toEqual([0, 1, 2, 5]);
    expect(keepSet(critical(base, weights, { keep: 4, first: 1 }, one), 0, 4, one)).toEqual([0, 1, 2, 3]);
    expect(keepSet(critical(base, weights, { keep: 1, first: 0 }, one), 0, 1, one)).toEqual([5]);
    // Without any attention the weight decides, by epsilon.
    expect(keepSet(critical([6, 5, 0, 0], [1, 1, 1, 2], { keep: 3, first: 0.67 }, { T: 4, G: 1, sinks: 0 }), 0, 3, { T: 4, sinks: 0 })).toEqual([0, 1, 3]);
    const withSink = { T: 6, G: 1, sinks: 1 }; // the sink takes one of the first stage's two places
    expect(keepSet(critical(base, [1, 1, 1, 1, 50, 100], { keep: 4 }, withSink), 0, 4, withSink)).toEqual([0, 1, 4, 5]);
  });
});

describe("replay", () => {
  test("the repeated token is found, within its chunk and in the whole context", () => {
    const small: Dims = { T: 4, H: 2, G: 1, D: 2, sinks: 1 };
    const context = [0, 0, 9, 0, 0, 9, 1, 1];
    const replay = { start: 2, end: 4, queries: [0, 9, 0, 0], keys: [0, 0] }; // one query, two heads: the first looks for slot 2
    expect([...kvzip(context, [replay], "context", small)].map((p) => p.toFixed(3))).toEqual(["0.000", "0.200", "1.000", "0.200"]);
    expect([...kvzip(context, [replay], "chunk", small)].map((p) => p.toFixed(3))).toEqual(["0.000", "0.000", "1.000", "0.250"]);
  });

  test("a query of the pass does not see the pass's later keys", () => {
    const small: Dims = { T: 1, H: 1, G: 1, D: 1, sinks: 0 };
    const replay = { start: 0, end: 1, queries: [1, 0], keys: [0, 9] }; // the first query would give the second key nearly everything
    expect(kvzip([0], [replay], "context", small)[0]).toBeCloseTo(1 / 2, 12);
  });

  test("the greatest over passes, heads and queries; KVzip+ weighs it", () => {
    const first = { start: 0, end: 7, queries: lastQueries(2), keys: keys.subarray(0, G * 2 * D) };
    const second = { start: 7, end: T, queries: lastQueries(3), keys: keys.subarray(0, G * 3 * D) };
    const both = kvzip(keys, [first, second], "context", dims);
    const [a, b] = [kvzip(keys, [first], "context", dims), kvzip(keys, [second], "context", dims)];
    expectClose(
      both,
      a.map((p, n) => Math.max(p, b[n]!)),
      tolerances.f64,
    );
    const hidden = Array.from({ length: T }, (_, t) => t + 1);
    expectClose(
      kvzipPlus(both, valueNorm(values, dims), hidden, dims),
      both.map((p, n) => (p * valueNorm(values, dims)[n]!) / ((n % T) + 1)),
      tolerances.f64,
    );
  });
});

describe("r-kv", () => {
  test("the last copy of a repeated key is let off", () => {
    const one: Dims = { T: 4, H: 1, G: 1, D: 2, sinks: 0 };
    // slots 0, 1 and 3 say the same; 2 is orthogonal
    const redundancy = rkvRedundancy([1, 0, 1, 0, 0, 1, 1, 0], 0.5, one);
    // column means: 0 gets 1 from rows 1 and 3; 1 gets 1 from rows 0 (let off: 3 is later) ... by hand: [1/4 + 1/4, 1/4, 0, 0]
    expectClose(redundancy, softmax([0.5, 0.25, 0, 0]), tolerances.f64);
  });

  test("importance is a softmax before the window; the whole is positive and ranks as published", () => {
    const importance = rkvImportance(lastQueries(3), keys, 1, dims);
    for (let g = 0; g < G; g++) {
      expect(importance.subarray(g * T, (g + 1) * T).reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
      expect([...importance.subarray(g * T + T - 3, (g + 1) * T)]).toEqual([0, 0, 0]);
    }
    const redundancy = rkvRedundancy(keys, 0.5, dims);
    const pooled = rkvImportance(lastQueries(3), keys, 7, dims);
    const published = pooled.map((p, n) => 0.1 * p - 0.9 * redundancy[n]!);
    const scores = rkv(lastQueries(3), keys, { lambda: 0.1 }, dims);
    for (let g = 0; g < G; g++) expect(keepSet(scores, g, 6, dims)).toEqual(keepSet(published, g, 6, dims));
    expect(Math.min(...scores.subarray(2, T))).toBeGreaterThan(0);
  });
});

describe("scores without queries", () => {
  test("streaming-llm goes by position, not by storage order", () => {
    expect(keepSet(streamingLlm(dims), 1, 5, dims)).toEqual([0, 1, 10, 11, 12]);
    const backwards = Array.from({ length: T }, (_, t) => T - 1 - t);
    expect(keepSet(streamingLlm(dims, backwards), 0, 3, { T, sinks: 0 })).toEqual([0, 1, 2]);
  });

  test("random: the hash is the one that golden files use, seeds, layers, heads and positions all count, and it is uniform", () => {
    expect([pcg(0), pcg(1), pcg(0xffffffff)]).toEqual([129708002, 2831084092, 3861530882]);
    const place = [7, 2, 1, 40] as const;
    const base = randomScore(...place);
    for (const i of [0, 1, 2, 3]) expect(randomScore(...(place.map((n, j) => n + (i === j ? 1 : 0)) as [number, number, number, number]))).not.toBe(base);
    const many = random({ seed: 1, layer: 3 }, { T: 5000, G: 2 });
    expect(many.every((x) => x > 0 && x < 1 && Math.fround(x) === x)).toBe(true);
    expect(many.reduce((sum, x) => sum + x / many.length, 0)).toBeCloseTo(0.5, 1);
    expect(new Set(many).size).toBeGreaterThan(9980); // 2^23 values: six coincidences expected in 10,000
    expect([...random({ seed: 1, layer: 3 }, { T: 3, G: 1 }, [4, 2, 9])]).toEqual([many[4], many[2], many[9]]);
  });

  test("lagkv: short contexts go by recency, sinks and the last partition are safe, ranks fill a partition", () => {
    const options = { ...dims, T: 13, sinks: 2 };
    const scores = lagkv(keys, values, { lag: 4 }, options); // partitions 2..5, 6..9; the tail 10..12
    expect([...scores.subarray(2, 6)].sort((a, b) => a - b)).toEqual([0, 0.25, 0.5, 0.75]);
    expect([...scores.subarray(0, 2), ...scores.subarray(6, T)].every((score) => score === 1)).toBe(true);
    const short = lagkv(keys, values, { lag: 6 }, options);
    expect([...short.subarray(0, 2)]).toEqual([1, 1]);
    expect([...short.subarray(2, T)]).toEqual([...short.subarray(2, T)].sort((a, b) => a - b));
  });

  test("qfilter keeps what lies along the direction; its importance ranks alike", () => {
    const direction = Float64Array.from({ length: G * D }, (_, n) => (n % D === 1 ? 1 : 0));
    const along = qfilter(keys, direction, dims);
    expect(along[3]).toBe(keys[3 * D + 1]);
    const importance = qfilterImportance(keys, direction, dims);
    for (let g = 0; g < G; g++) expect(keepSet(importance, g, 6, dims)).toEqual(keepSet(along, g, 6, dims));
    expect(Math.max(...importance.subarray(2, T))).toBe(1);
  });
});

// reading: the f64 twins against examples worked out by hand; the sizes that follow; what is refused.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planReading, readBytes, rocketCapacity, sparseAttention, turnCapacity } from "../../../src/cache/read-plan";
import type { PolicySpec } from "../../../src/engine-types";
import { resolvePolicy } from "../../../src/policy/policy";
import { dot } from "../../reference/codec";
import { boundScale, boundsOf, channelsOf, largest, leftOutBy, meanCosine, questLogit, roundBound, sharesOf, sparseLogits } from "../../reference/reading";

describe("by hand", () => {
  // Four keys of four channels, two a chunk.
  const keys = [
    [1, -2, 0, 3],
    [2, -1, 1, -3],
    [-1, 0, 4, 0],
    [0, 2, 2, -1],
  ];
  const bounds = boundsOf(keys, 2);

  test("bounds: smallest and largest by channel", () => {
    expect(bounds.map(({ least, most }) => [[...least], [...most]])).toEqual([
      [
        [1, -2, 0, -3],
        [2, -1, 1, 3],
      ],
      [
        [-1, 0, 2, -1],
        [0, 2, 4, 0],
      ],
    ]);
  });

  test("quest: q = (2, -1, 0, 1) can score 2*2 + 1*2 + 0 + 3 = 9 and 0 + 0 + 0 + 0 = 0, over sqrt 4", () => {
    expect(bounds.map((chunk) => questLogit([2, -1, 0, 1], chunk))).toEqual([4.5, 0]);
  });

  test("hybrid sparse attention: two channels of a group of two", () => {
    // |q| add up to 4, 1, 3, 2: channels 0 and 2. The sums are 4 (largest keys) and -3 (smallest): chunks (2, 0) and (0, 2).
    const group = [
      [3, 1, 0, 1],
      [1, 0, -3, 1],
    ];
    expect(channelsOf(group, 2)).toEqual([0, 2]);
    // Temperatures: sqrt(4 * 3/5) and sqrt(4 * 4/5). Logits before: 3*2 + 0 = 6, 0; then 1*2 - 0 = 2, 0 - 3*2 = -6.
    const [first, second] = [Math.sqrt(12 / 5), Math.sqrt(16 / 5)];
    const got = sparseLogits(group, bounds, 2).flat();
    for (const [i, want] of [6 / first, 0, 2 / second, -6 / second].entries()) expect(got[i]).toBeCloseTo(want, 12);
  });

  test("shares: each token of a chunk counts in the softmax; the group's mean decides, the earlier of equals", () => {
    // e^0 = 1 twice and e^(ln 2) = 2 once: 1/4, 2/4. The other query: (1/2)*2 and 1*0 tokens ... of logits 0, 0 with 2 and 1 tokens: 1/3 each.
    const shares = sharesOf(
      [
        [0, Math.log(2)],
        [0, 0],
      ],
      [2, 1],
    );
    expect(shares[0]).toBeCloseTo((1 / 4 + 1 / 3) / 2, 12);
    expect(shares[1]).toBeCloseTo((2 / 4 + 1 / 3) / 2, 12);
    expect(largest([0.1, 0.3, 0.2, 0.3, 0.2], 3)).toEqual([1, 2, 3]);
  });

  test("rocket: the paper's example, and 2,048 tokens read as 256", () => {
    expect(rocketCapacity(256, 131072, 0)).toBe(1296); // c = 512, rho = .74: 131,072 over 101.1
    expect(rocketCapacity(256, 2048, 64)).toBe(929); // c = 8, rho = .38
    expect(rocketCapacity(256, 2048, 600)).toBe(1200); // twice the new tokens
    expect(sparseAttention(256, 5.07 * 256, 128)).toEqual({ span: 3, channels: 75, share: 0.5 });
    // c2 = 3.6: p = min(3, ceil 1.9) = 2, r = floor(64 * 2 / 3.6) = 35. Scanned and exact parts are t d elements each.
    expect(sparseAttention(256, 3.6 * 256, 64)).toEqual({ span: 2, channels: 35, share: 0.5 });
    expect(sparseAttention(256, 200, 64)).toEqual({ span: 1, channels: 64, share: 0.5 });
  });

  test("bounds in 8 bits: scales of (1 + m/16) 2^e - 1, outward", () => {
    // The largest is 492, a 246th of it 2. In units: -1.15 -> (1 + 2/16) 2 - 1 = 1.25 away from 0; .49 -> 7/16 towards it; 0 stays; 246 -> 247.
    const scale = boundScale({ least: Float64Array.of(-2.3, 0.98, 0), most: Float64Array.of(-2.3, 0.98, 492) });
    expect(scale).toBe(2);
    expect([-2.3, 0.98, 0].map((x) => roundBound(x, 2, false))).toEqual([-2.5, 0.875, 0]);
    expect([-2.3, 0.98, 492].map((x) => roundBound(x, 2, true))).toEqual([-2.25, 1, 494]);
    expect(boundScale({ least: Float64Array.of(0), most: Float64Array.of(0) })).toBe(2 ** -14);
  });

  test("a turn's filter: chunks of two, one neighbour to either side, two stay", () => {
    // Best of slots 0-2, 1-4 and 3-6: 5, 5, 3; slot 6 is half a chunk, which always stays. Of chunks alike the earlier.
    const received = [0, 0, 5, 1, 3, 2, 1, 9];
    expect(leftOutBy(received, { slots: 7, span: 2, pool: 3, keep: 2 })).toEqual([2]);
    expect(leftOutBy(received, { slots: 7, span: 2, pool: 3, keep: 1 })).toEqual([1, 2]);
    expect(leftOutBy(received, { slots: 1, span: 2, pool: 3, keep: 0 })).toEqual([]);
  });

  test("a turn's tokens: those of the paper's split that new ones and the newest do not take", () => {
    expect(turnCapacity(256, 2048, 64, 52)).toBe(929 - 64 - 52);
    expect(turnCapacity(256, 2048, 2000, 52)).toBe(2048 - 1024 - 52); // C1 is all, new tokens at most half of it
    expect(turnCapacity(256, 100, 64, 52)).toBe(0); // 100 - 50 - 52
  });

  test("cosines of a group: parallel and at right angles, on average a half", () => {
    const now = [
      [2, 0],
      [0, 1],
    ];
    expect(meanCosine(now, [[1, 0], [3, 0]])).toBeCloseTo(0.5, 12); // biome-ignore format: one line
  });
});

const numbers = (length: number) => fc.array(fc.double({ min: -8, max: 8, noNaN: true }), { minLength: length, maxLength: length });

test("a bound is never below the score of a key in its chunk", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.array(numbers(6), { minLength: 1, maxLength: 20 }), numbers(6), (span, keys, query) => {
      const bounds = boundsOf(keys, span);
      return keys.every(
        (key, i) => dot(query, key) / Math.sqrt(6) <= questLogit(query, bounds[Math.floor(i / span)] ?? ({ least: [], most: [] } as never)) + 1e-9,
      );
    }),
  );
});

describe("sizes", () => {
  const shape = { layers: 30, heads: 9, kvHeads: 3, headSize: 64 };

  test("quest: sinks and ring are part of the tokens; at least three pages", () => {
    const plan = planReading({ kind: "quest", tokens: 256, chunk: 16, dense: 2 }, shape, 2048, 2048, 20);
    expect(plan).toMatchObject({ span: 16, keep: 14, pairs: 64, channels: 64, sparse: false, dense: 2 });
    expect(readBytes(plan, 30)).toBe(28 * 4 * ((plan?.boundsWords ?? 0) + (plan?.selectionWords ?? 0)));
    expect(plan?.boundsWords).toBe(3 * 65 * 64); // a sixteenth of the keys' bytes, 2,048 x 3 x 64 x 2 / 16, and 3 x 128 scales
    expect(planReading({ kind: "quest", tokens: 21, chunk: 16, dense: 0 }, shape, 2048, 2048, 20)?.keep).toBe(3);
  });

  test("a turn's filter: a bit for every chunk, a number for every position; the second stage is that of what stays", () => {
    const plan = planReading({ kind: "rocket", tokens: 256, dense: 0, turn: { window: 32, pool: 63 } }, shape, 2000, 929, 20, 2048);
    expect(plan).toMatchObject({ span: 2, pairs: 500, left: 32, stride: 8 + (plan?.keep ?? 0) + 32, receivedWords: 3 * 2048 });
    expect(readBytes(plan, 30)).toBe(30 * 4 * ((plan?.boundsWords ?? 0) + (plan?.selectionWords ?? 0) + 3 * 2048));
  });

  test("nothing where everything is read", () => {
    expect(planReading({ kind: "all" }, shape, 2048, 2048, 20)).toBeUndefined();
    expect(planReading({ kind: "quest", tokens: 256, chunk: 16, dense: 30 }, shape, 2048, 2048, 20)).toBeUndefined();
    expect(readBytes(undefined, 30)).toBe(0);
  });
});

const uniform: PolicySpec["precision"] = { kind: "uniform", format: "k8v8" };
const refused: [string, PolicySpec, string][] = [
  ["an unknown kind", { precision: uniform, read: { kind: "pages" as "quest" } }, "read.kind"],
  ["several formats", { precision: { kind: "rate-distortion" }, read: { kind: "quest" } }, "precision.formats"],
  ["a calibrated format", { precision: { kind: "uniform", format: "k3v2" }, read: { kind: "rocket" } }, "precision.formats"],
  ["re-evaluation", { precision: { kind: "evict-only" }, reevaluate: {}, read: { kind: "quest" } }, "reevaluate"],
  ["fewer tokens than sinks and ring", { precision: uniform, read: { kind: "quest", tokens: 20 } }, "read.tokens"],
  ["an empty chunk", { precision: uniform, read: { kind: "quest", chunk: 0 } }, "read.chunk"],
  ["no whole number of layers", { precision: uniform, read: { kind: "quest", dense: 0.5 } }, "read.dense"],
  ["a turn's filter where slots are dropped", { precision: { kind: "evict-only" }, read: { kind: "rocket", turn: {} } }, "read.turn"],
  ["a turn's filter of pages", { precision: uniform, read: { kind: "quest", turn: {} } }, "read.turn"],
  ["a turn's filter that is none", { precision: uniform, read: { kind: "rocket", turn: 32 as never } }, "read.turn"],
  ["an empty window", { precision: uniform, read: { kind: "rocket", turn: { window: 0 } } }, "read.turn.window"],
  ["an even pool", { precision: uniform, read: { kind: "rocket", turn: { pool: 62 } } }, "read.turn.pool"],
  ["a cosine above 1", { precision: uniform, read: { kind: "quest", reselect: 1.5 } }, "read.reselect"],
];

test.each(refused)("refused: %s", (_, policy, field) => {
  expect(() => resolvePolicy(policy)).toThrow(expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }));
});

test("defaults: everything is read; quest as in the paper", () => {
  expect(resolvePolicy("full").read).toEqual({ kind: "all" });
  expect(resolvePolicy("quest").read).toEqual({ kind: "quest", tokens: 256, chunk: 16, dense: 2 });
  expect(resolvePolicy("rocketkv-mt").read).toEqual({ kind: "rocket", tokens: 256, dense: 0, turn: { window: 32, pool: 63 } });
});

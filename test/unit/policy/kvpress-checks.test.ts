// kvpress-checks: the checks of kvpress's own tests that are worth having (C1 to C12 of the study; C13 is in kernels/cache-report.test.ts, C14 and C15 in model/session-cache.test.ts, C16 in cache/future-rotation.test.ts, C17 and C18 in expected-attention.test.ts), and what kvpress
// gets wrong and the library here must not. Tests named "kvpress: ..." say what it does; what follows is what holds here.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { futureRotation } from "../../../src/cache/future-rotation";
import { adaKeep, keepCount, pyramidBudget, pyramidKvpress, removedFor } from "../../reference/budgets";
import { attend } from "../../reference/cache-attention";
import { type Dims, keepSet, type Numbers } from "../../reference/expected-attention";
import { attentionReceived, attentionRow } from "../../reference/scorers/attention-received";
import { expectedAttentionScore } from "../../reference/scorers/expected-attention-score";
import { lagkv } from "../../reference/scorers/lagkv";
import { knorm } from "../../reference/scorers/norms";
import { keepStreaming } from "../../reference/scorers/only-kvpress/chunks";
import { mergeValues } from "../../reference/scorers/only-kvpress/merging";
import { rerotateKeys } from "../../reference/scorers/only-kvpress/rerotation";
import { streamingLlm } from "../../reference/scorers/positions";
import { snapkv } from "../../reference/scorers/window";
import { rotateRows, scoringCase } from "../../reference/scoring-case";
import { expectClose, tolerances } from "../../tolerances";

const dims: Dims = { T: 24, H: 4, G: 2, D: 8, sinks: 0 };
const { T, H, G, D } = dims;
const given = scoringCase(dims, "half", { seed: 11 });
const { keys, values, rotated } = given;
const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, n) => from + n);

describe("counts", () => {
  test("C1: slots kept, truncation traps included", () => {
    const table = [
      [10, 0.9, 0],
      [10, 0.8, 1],
      [20, 0.9, 1],
      [50, 0.8, 9],
      [100, 0.9, 9],
      [1000, 0.8, 199],
      [1000, 0.9, 99],
    ] as const;
    for (const [n, removed, kept] of table) expect(keepCount(n, removed), `${n} at ${removed}`).toBe(kept);
  });

  test("C2, C3: 23 to 13, 28 to 16, 256 to 230", () => {
    expect([keepCount(23, 0.4), keepCount(28, 0.4), keepCount(256, 0.1)]).toEqual([13, 16, 230]);
  });

  test("C4, C5: the ratio for a target", () => {
    expect(removedFor(116, 64)).toBe(0.4482758620689655);
    expect(removedFor(2560, 2048)).toBe(0.19999999999999996);
    expect(removedFor(107, 54)).toBe(0.48758761682242996);
    expect(removedFor(49, 7)).toBe(0.84375);
    expect(removedFor(64, 64)).toBe(0);
    expect(removedFor(12, 64)).toBe(0);
    expect(Math.max(1, keepCount(108, 0.5))).toBe(54); // C5: position 107, so 108 tokens
  });

  test("C4: the ratio gives the target, whatever the numbers", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 5000 }), fc.integer({ min: 1, max: 5000 }), (n, target) => {
        expect(keepCount(n, removedFor(n, target))).toBe(Math.min(n, target));
      }),
    );
  });

  test("C6: pyramid budgets", () => {
    expect(pyramidKvpress({ layers: 4, tokens: 256, window: 8, removed: 0.5, beta: 20 })).toEqual([248, 168, 88, 8]);
    for (const layers of [32, 64, 128])
      for (const removed of [0.1, 0.25, 0.5, 0.75, 0.9]) {
        const budgets = pyramidKvpress({ layers, tokens: 8192, window: 64, removed, beta: 20 });
        const mean = budgets.reduce((sum, slots) => sum + slots / layers, 0);
        expect(Math.abs(mean / (8192 * (1 - removed)) - 1)).toBeLessThan(1e-3);
      }
  });

  test("kvpress: no pyramid below beta * window slots; as published there is one at any budget", () => {
    const given = { layers: 4, tokens: 4096, window: 64, beta: 20 };
    expect(pyramidKvpress({ ...given, removed: 0.75 })).toEqual([1024, 1024, 1024, 1024]);
    expect(pyramidBudget({ ...given, mean: 1024 })).toEqual([1936, 1328, 720, 112]);
  });
});

describe("selection", () => {
  test("C7: kept scores are the greatest, for any scores", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true, min: -5, max: 5 }), { minLength: 1, maxLength: 40 }), fc.nat(40), (scores, count) => {
        const keep = Math.min(count, scores.length);
        const kept = keepSet(scores, 0, keep, { T: scores.length, sinks: 0 });
        const byScore = [...scores].sort((a, b) => b - a);
        expect(kept.map((t) => scores[t]!).sort((a, b) => b - a)).toEqual(byScore.slice(0, keep));
      }),
    );
  });

  test("C8: block by block keeps what one top-k over all does", () => {
    const scores = [...knorm(keys, dims).subarray(0, T)];
    for (const block of [2, 3, 7, 24, 100]) expect(keepStreaming(scores, block, 9)).toEqual(keepSet(scores, 0, 9, dims));
  });

  test("C11: AdaKV keeps heads * keep slots in all, one head may get nearly everything", () => {
    const scores = (n: number): number[] => [...upTo(n).map((i) => 2 + 0.01 * i), ...upTo(n).map((i) => 1 + 0.01 * i)];
    expect(adaKeep(scores(40), 2, keepCount(40, 0.5))).toEqual([upTo(36, 4), upTo(4, 36)]);
    expect(adaKeep(scores(8), 2, keepCount(8, 0.5)).map((kept) => kept.length)).toEqual([8, 0]); // the safeguard is trunc(.8)
  });

  test("kvpress: ties fall as torch's topk likes; here to the earlier position", () => {
    expect(keepSet([1, 2, 2, 2, 1], 0, 2, { T: 5, sinks: 0 })).toEqual([1, 2]);
    expect(adaKeep([1, 1, 1, 1], 2, 1, 0)).toEqual([[0, 1], []]);
  });

  test("kvpress #227: a protected slot that ties with the greatest score could be evicted; sinks here come before any score", () => {
    expect(keepSet([3, 9, 9, 9, 9], 0, 1, { T: 5, sinks: 1 })).toEqual([0]);
  });
});

describe("keys and values", () => {
  test("C9: rotating, pruning and closing ranks is pruning, then rotating; with a magnitude as yarn's too", () => {
    const raw = Float64Array.from({ length: T * D }, (_, n) => Math.sin(n * n));
    for (const rope of [given.rope, { ...given.rope, divisors: Float64Array.from([1, 1, 4, 16]), magnitude: 1.1 }]) {
      const before = rotateRows(raw, rope, { H: 1, D }); // one head, positions 0..T-1
      const kept = [1, 2, 9, 10, 23];
      const pruned = Float64Array.from(kept.flatMap((t) => [...raw.subarray(t * D, (t + 1) * D)]));
      expectClose(rerotateKeys(before, 0, kept, rope, { T, D }), rotateRows(pruned, rope, { H: 1, D }), tolerances.f64);
    }
  });

  test("C10: merging leaves keys alone, changes kept values, and those only", () => {
    const kept = [0, 1].map((g) => keepSet(knorm(keys, dims), g, 12, dims));
    const keysBefore = Float64Array.from(keys);
    const merged = mergeValues(keys, values, kept, dims);
    expect(keys).toEqual(keysBefore);
    expect(merged.every(Number.isFinite)).toBe(true);
    const changed = (g: number, t: number): boolean => upTo(D).some((i) => merged[(g * T + t) * D + i] !== values[(g * T + t) * D + i]);
    for (let g = 0; g < G; g++) {
      expect(kept[g]!.some((t) => changed(g, t))).toBe(true);
      for (let t = 0; t < T; t++) if (!kept[g]!.includes(t)) expect(changed(g, t)).toBe(false);
    }
  });

  test("C12: attention over the kept slots of a head is attention with the others' logits at minus infinity", () => {
    const kept = [3, 4, 11, 20];
    const slot = (t: number): { key: Numbers; value: Numbers } => ({ key: keys.subarray(t * D, (t + 1) * D), value: values.subarray(t * D, (t + 1) * D) });
    const query = rotated.subarray((T - 1) * H * D, (T - 1) * H * D + D);
    const row = attentionRow({ queries: query, keys, sees: (_, t) => kept.includes(t) }, 0, 0, { T, H: 1, G: 1, D });
    const masked = upTo(D).map((i) => upTo(T).reduce((sum, t) => sum + row[t]! * values[t * D + i]!, 0));
    expectClose(attend(query, kept.map(slot)), masked, tolerances.f64);
  });

  test("kvpress: a fake key must be repelled by every query of a group, and none is by q and -q; a slot that is left out needs no key", () => {
    const queries = [1, 2, -1, -2]; // (1 token, 2 heads, D 2): no Y has <q, Y> > 0 and <-q, Y> > 0
    const small = { T: 3, H: 2, G: 1, D: 2 };
    const two = attentionReceived({ queries, keys: [1, 0, 5, 5, 0, 1], sees: (_, t) => t !== 1, reduce: "max", group: "max" }, small);
    expect(two[1]).toBe(0);
    expect(two[0]! > 0 && two[2]! > 0).toBe(true);
  });
});

describe("positions", () => {
  test("kvpress: slots lie in the order of their scores after a compression, so that 'the last 60' are not; here a slot carries its position", () => {
    let slots = upTo(64); // positions, as they lie
    for (let turn = 1; turn <= 4; turn++) {
      slots = [...slots, ...upTo(16, 48 + 16 * turn)];
      const scores = streamingLlm({ T: slots.length, G: 1 }, slots);
      const order = upTo(slots.length).sort((a, b) => scores[b]! - scores[a]! || b - a);
      const last = Math.max(...slots);
      const kept = keepSet(
        Float64Array.from(slots, (position, n) => (position < 4 ? Number.POSITIVE_INFINITY : scores[n]!)),
        0,
        64,
        { T: slots.length, sinks: 0 },
      );
      const positions = kept.map((n) => slots[n]!).sort((a, b) => a - b);
      expect(positions).toEqual([...upTo(4), ...upTo(60, last - 59)]);
      slots = order.filter((n) => kept.includes(n)).map((n) => slots[n]!); // gathered by score: newest first
      // By storage order, "first 4 and last 60" are no longer those positions.
      expect(slots.slice(0, 4)).not.toEqual(upTo(4));
    }
  });

  test("kvpress: while decoding, every query of SnapKV's window is rotated with the current position; each with its own gives the attention that was paid", () => {
    const W = 6;
    const raw = given.queries.subarray((T - W) * H * D);
    const own = rotateRows(raw, given.rope, dims, T - W);
    const allNow = Float64Array.from(upTo(W).flatMap((w) => [...rotateRows(raw.subarray(w * H * D, (w + 1) * H * D), given.rope, dims, T - 1)]));
    const received = (queries: Numbers): Float64Array => attentionReceived({ queries, keys, reduce: "mean", group: "mean" }, dims);
    const paid = received(rotated.subarray((T - W) * H * D)); // what these tokens' own attention was
    expectClose(received(own), paid, tolerances.f64);
    expect(Math.max(...received(allNow).map((p, n) => Math.abs(p - paid[n]!)))).toBeGreaterThan(0.01);
  });

  test("kvpress: while decoding, expected attention averages over positions from the buffer's length on; over the coming ones it fits what comes", () => {
    // Queries of one distribution; what the next tokens really pay is known.
    const long: Dims = { T: 160, H: 2, G: 1, D: 8, sinks: 0 };
    const text = scoringCase(long, "half", { seed: 5, offset: 2 });
    const score = (first: number): Float64Array =>
      expectedAttentionScore(
        text.queries,
        { keys: text.keys, values: text.values, rotation: futureRotation(text.rope, long.D, first, 16), pairing: "half", useValueNorm: false },
        long,
      );
    const future = rotateRows(text.queries.subarray(0, 16 * long.H * long.D), text.rope, long, long.T);
    const paid = attentionReceived({ queries: future, keys: text.keys, sees: () => true, reduce: "mean", group: "mean" }, long);
    const mass = (scores: Numbers): number => keepSet(scores, 0, 40, long).reduce((sum, t) => sum + paid[t]!, 0);
    expect(mass(score(long.T))).toBeGreaterThan(mass(score(33)) + 0.02); // a buffer of 32 rows and the present one
  });
});

describe("edges", () => {
  test("kvpress: SnapKV refuses prompts no longer than its window; here the window is what there is", () => {
    const short: Dims = { ...dims, T: 5 };
    const small = scoringCase(short, "half", { seed: 2 });
    const scores = snapkv({ queries: small.rotated, window: 5, keys: small.keys, pool: "mean", kernel: 1 }, short);
    expectClose(scores, attentionReceived({ queries: small.rotated, keys: small.keys, reduce: "mean", group: "mean" }, short), tolerances.f64);
  });

  test("kvpress: LagKV divides 0 by 0 where a channel does not vary; here such a channel says nothing", () => {
    const flat = Float64Array.from(keys, (value, n) => (n % D === 2 ? 1.5 : value));
    const options = { ...dims, sinks: 2 };
    for (const crossScoring of [true, false]) expect(lagkv(flat, values, { lag: 4, crossScoring }, options).every(Number.isFinite)).toBe(true);
    const order = (rows: Numbers): number[] => keepSet(lagkv(rows, values, { lag: 4 }, options), 0, 12, options);
    const other = Float64Array.from(flat, (value, n) => (n % D === 2 ? -7 : value));
    expect(order(flat)).toEqual(order(other));
  });
});

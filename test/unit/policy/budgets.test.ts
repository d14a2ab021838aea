// budgets: the references against hand-made cases, and what every budget must satisfy whatever the scores are.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  adaBudget,
  adaKeep,
  cakeCascade,
  cakePreference,
  cakeScore,
  dynamicBudget,
  globalBlocks,
  proportional,
  pyramidBudget,
  tableBudget,
  wholeParts,
} from "../../reference/budgets";

const sum = (numbers: readonly number[]): number => numbers.reduce((all, n) => all + n, 0);
const score = fc.double({ min: 0, max: 1, noNaN: true });

describe("pyramid", () => {
  test("falls by equal steps from 2 base - base / beta to base / beta, the window on top", () => {
    expect(pyramidBudget({ layers: 3, tokens: 10_000, window: 8, mean: 108, beta: 20 })).toEqual([203, 108, 13]);
    expect(pyramidBudget({ layers: 1, tokens: 100, window: 8, mean: 20, beta: 20 })).toEqual([20]);
  });

  test("the mean is the budget, no layer has more than there is, none less than the window", () => {
    const cases = fc.record({
      layers: fc.integer({ min: 1, max: 64 }),
      tokens: fc.integer({ min: 64, max: 5000 }),
      window: fc.integer({ min: 1, max: 32 }),
      part: score,
    });
    fc.assert(
      fc.property(cases, ({ layers, tokens, window, part }) => {
        const mean = window + Math.floor(part * (tokens - window));
        const budgets = pyramidBudget({ layers, tokens, window, mean, beta: 20 });
        expect(Math.abs(sum(budgets) - layers * mean)).toBeLessThanOrEqual(layers / 2 + 1e-6);
        expect(Math.max(...budgets)).toBeLessThanOrEqual(tokens);
        expect(Math.min(...budgets)).toBeGreaterThanOrEqual(window);
        expect(budgets).toEqual([...budgets].sort((a, b) => b - a));
      }),
    );
  });
});

describe("ada", () => {
  test("heads * keep slots in all, the safeguard for each, and within a head nothing better was dropped", () => {
    const cases = fc.integer({ min: 1, max: 4 }).chain((heads) =>
      fc.integer({ min: 4, max: 20 }).chain((T) =>
        fc.record({
          heads: fc.constant(heads),
          T: fc.constant(T),
          scores: fc.array(score, { minLength: heads * T, maxLength: heads * T }),
          keep: fc.integer({ min: 0, max: T }),
        }),
      ),
    );
    fc.assert(
      fc.property(cases, ({ heads, T, scores, keep }) => {
        const kept = adaKeep(scores, heads, keep, 0.5);
        expect(sum(kept.map((slots) => slots.length))).toBe(heads * keep);
        kept.forEach((slots, g) => {
          expect(slots.length).toBeGreaterThanOrEqual(Math.trunc(keep * 0.5));
          const worst = Math.min(...slots.map((t) => scores[g * T + t]!));
          expect(Array.from({ length: T }, (_, t) => slots.includes(t) || scores[g * T + t]! <= worst).every(Boolean)).toBe(true);
        });
      }),
    );
  });

  test("alpha 1 is uniform, alpha 0 follows the scores", () => {
    const scores = [9, 8, 7, 1, 6, 2, 1, 0];
    expect(adaBudget(scores, 2, 2, 1)).toEqual([2, 2]);
    expect(adaBudget(scores, 2, 2, 0)).toEqual([3, 1]);
    expect(adaBudget(scores, 2, 2, 0.5)).toEqual([3, 2]); // 2.5 and 1.5, rounded up
  });
});

describe("global", () => {
  test("KV-Compress frees the cheapest blocks wherever they are, the hanging tokens first", () => {
    // Head 0: 5 slots in blocks of 4: one hangs over, so evicting one slot frees a block. Head 1: 8 slots, two full blocks.
    const heads = [{ metrics: [5, 4, 3, 2, 1] }, { metrics: [0.1, 0.2, 0.3, 0.4, 9, 9, 9, 9] }];
    expect(globalBlocks(heads, 4, 0)).toEqual([[], []]);
    expect(globalBlocks(heads, 4, 1)).toEqual([[], [0, 1, 2, 3]]);
    expect(globalBlocks(heads, 4, 2)).toEqual([[4], [0, 1, 2, 3]]);
    expect(globalBlocks(heads, 4, 3)).toEqual([
      [0, 1, 2, 3, 4],
      [0, 1, 2, 3],
    ]);
    expect(globalBlocks(heads, 4, 99)).toEqual([
      [0, 1, 2, 3, 4],
      [0, 1, 2, 3, 4, 5, 6, 7],
    ]);
  });

  test("whole blocks fall free, protected slots stay, and as many as asked where there are enough", () => {
    const metrics = fc.array(fc.oneof({ weight: 4, arbitrary: score }, { weight: 1, arbitrary: fc.constant(Number.POSITIVE_INFINITY) }), {
      minLength: 1,
      maxLength: 30,
    });
    fc.assert(
      fc.property(fc.array(metrics, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 12 }), (all, size, blocks) => {
        const evicted = globalBlocks(
          all.map((row) => ({ metrics: row })),
          size,
          blocks,
        );
        const freed = all.map((row, head) => Math.ceil(row.length / size) - Math.ceil((row.length - evicted[head]!.length) / size));
        const possible = all.map((row) => {
          const protectedSlots = row.filter((metric) => metric === Number.POSITIVE_INFINITY).length;
          return Math.ceil(row.length / size) - Math.ceil(protectedSlots / size);
        });
        expect(sum(freed)).toBe(Math.min(blocks, sum(possible)));
        all.forEach((row, head) => {
          // nothing is evicted that frees no block
          if (evicted[head]!.length > 0) expect((row.length - evicted[head]!.length) % size).toBe(0);
          for (const slot of evicted[head]!) expect(row[slot]).not.toBe(Number.POSITIVE_INFINITY);
        });
      }),
    );
  });
});

describe("CAKE", () => {
  const spread = { attention: [0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25], heads: 1, window: 2 };
  const sharp = { attention: [1, 0, 0, 0, 1, 0, 0, 0], heads: 1, window: 2 };
  const shifting = { attention: [1, 0, 0, 0, 0, 1, 0, 0], heads: 1, window: 2 };

  test("entropy and variance, by hand", () => {
    expect(cakePreference(spread, 1, 1)).toBe(0); // no variance
    expect(cakePreference(sharp, 1, 1)).toBe(0); // neither
    const both = { attention: [0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5], heads: 1, window: 2 };
    expect(cakePreference(both, 1, 1)).toBeCloseTo(2 * Math.log(2) * (4 * 0.0625), 12);
    expect(cakePreference(both, 2, 1)).toBeCloseTo(Math.sqrt(2 * Math.log(2)) * 0.25, 12);
    expect([...cakeScore(shifting, 200)]).toEqual([0.5 + 200 * 0.25, 0.5 + 200 * 0.25, 0, 0]);
    expect([...cakeScore(sharp, 200)]).toEqual([1, 0, 0, 0]);
  });

  test("parts are proportional, capped, whole, and add up", () => {
    expect(proportional([1, 1, 2], 8, 100)).toEqual([2, 2, 4]);
    expect(proportional([1, 1, 6], 8, 4)).toEqual([2, 2, 4]);
    expect(proportional([0, 0], 5, 9)).toEqual([3, 2]);
    fc.assert(
      fc.property(
        fc.array(score, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 0, max: 500 }),
        fc.integer({ min: 1, max: 60 }),
        (preferences, total, cap) => {
          const parts = proportional(preferences, total, cap);
          expect(sum(parts)).toBe(Math.min(total, preferences.length * cap));
          expect(Math.max(...parts)).toBeLessThanOrEqual(cap);
          expect(Math.min(...parts)).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });

  test("the cascade never needs more than the total and never gives back what it took", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 2, maxLength: 12 }),
        fc.integer({ min: 1, max: 500 }),
        (preferences, total) => {
          const steps = cakeCascade(preferences, total, 60);
          steps.forEach((budgets, l) => {
            expect(sum(budgets)).toBeLessThanOrEqual(total);
            expect((steps[l - 1] ?? []).every((before, n) => budgets[n]! <= before)).toBe(true);
          });
        },
      ),
    );
  });
});

describe("DynamicKV", () => {
  const layer = (top: number): number[] => Array.from({ length: 8 }, (_, t) => top - 0.01 * t); // one head, 8 slots

  test("layers with greater scores get more, all together base * layers", () => {
    const budgets = dynamicBudget([layer(1), layer(1.02), layer(0.2)], 1, { base: 2, every: 3, most: 10 });
    expect(budgets).toEqual([2, 4, 0]);
  });

  test("never more than most * base, than there is, or than in all", () => {
    const cases = fc.array(fc.array(score, { minLength: 12, maxLength: 12 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(cases, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), (scores, every, base) => {
        const budgets = dynamicBudget(scores, 2, { base, every, most: 2 });
        expect(budgets).toHaveLength(scores.length);
        expect(sum(budgets)).toBeLessThanOrEqual(base * scores.length);
        for (const slots of budgets) expect(slots).toBeLessThanOrEqual(Math.min(2 * base, 6));
      }),
    );
  });
});

test("a table: by hand, whole pages, by largest remainder", () => {
  // Ten pages and two rings of one: parts of 9 and 3, less a ring; beyond the least of 2 there are 6 and 0, and 6 pages to give.
  expect(tableBudget([3, 1], { total: 10, ring: 1, least: 2 })).toEqual([8, 2]);
  expect(tableBudget([2, 1, 1], { total: 9, ring: 0, least: 1 })).toEqual([5, 2, 2]); // 3.5, 1.25 and 1.25 of 6 pages
  expect(wholeParts([1.5, 1.5, 1], 4)).toEqual([2, 1, 1]);
});

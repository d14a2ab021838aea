// precision: the references against hand-made cases, and what every assignment of bits must satisfy.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  agaccDecode,
  agaccEncode,
  agaccLinearBits,
  agaccTiers,
  cheapErrors,
  diffKvTiers,
  evictOnly,
  layerWeights,
  pruneChannels,
  pruningRate,
  type RatedSlot,
  ratedAllocation,
  ratedChoice,
  ratedCost,
  uniformBits,
} from "../../reference/precision";
import { gaussian, seeded } from "../../reference/scoring-case";
import { expectClose, tolerances } from "../../tolerances";

const importance = fc.double({ min: 0, max: 1, noNaN: true });

test("evict-only and uniform", () => {
  expect(evictOnly(4, [1, 3])).toEqual([0, 16, 0, 16]);
  expect(uniformBits(3, 4)).toEqual([4, 4, 4]);
});

describe("AGACC", () => {
  test("linear bits: floor, the greatest alone gets the most", () => {
    expect(agaccLinearBits([0, 0.5, 0.99, 1], 2, 8)).toEqual([2, 5, 7, 8]);
    expect(agaccLinearBits([10, 30, 20], 2, 4)).toEqual([2, 4, 3]);
    expect(agaccLinearBits([3, 3], 2, 8)).toEqual([2, 2]);
  });

  test("linear bits: within bounds, and more importance never gets fewer", () => {
    fc.assert(
      fc.property(fc.array(importance, { minLength: 1, maxLength: 20 }), (values) => {
        const bits = agaccLinearBits(values, 2, 8);
        expect(bits.every((b) => b >= 2 && b <= 8 && Number.isInteger(b))).toBe(true);
        expect(bits.every((b, i) => bits.every((other, j) => values[i]! <= values[j]! || b >= other))).toBe(true);
      }),
    );
  });

  test("quantizer: an error of at most half a step inside s deviations, the clamp beyond", () => {
    const normal = gaussian(seeded(5));
    const x = Float64Array.from({ length: 64 }, (_, i) => (i === 9 ? 20 : 1 + 0.5 * normal()));
    for (const bits of [2, 4, 8]) {
      const coded = agaccEncode(x, bits);
      const most = 2 ** (bits - 1) - 1;
      const step = (3 * coded.deviation) / most;
      expect(Math.max(...coded.codes)).toBe(most); // the outlier
      expect(coded.codes.every((code) => Math.abs(code) <= most)).toBe(true);
      agaccDecode(coded, bits).forEach((value, i) => {
        if (Math.abs(x[i]! - coded.mean) < 3 * coded.deviation) expect(Math.abs(value - x[i]!)).toBeLessThanOrEqual(step / 2 + 1e-12);
      });
    }
    expectClose(agaccDecode(agaccEncode([7, 7, 7], 4), 4), [7, 7, 7], tolerances.f64);
  });

  test("quantizer, by hand: four numbers at 4 bits", () => {
    // Mean 3, deviations -3 -1 -1 5, variance (9 + 1 + 1 + 25) / 4 = 9; 2^3 - 1 = 7 codes to either side.
    // s = 3: a step of 3 * 3 / 7 = 9/7; -21/9 = -2.33, -7/9 = -.78, 35/9 = 3.89.
    const coded = agaccEncode([0, 2, 2, 8], 4, 3);
    expect(coded).toMatchObject({ mean: 3, deviation: 3 });
    expect([...coded.codes]).toEqual([-2, -1, -1, 4]);
    expectClose(agaccDecode(coded, 4, 3), [3 / 7, 12 / 7, 12 / 7, 57 / 7], tolerances.f64);
    // s = 1: a step of 3/7; -7, -2.33, and 35/3 = 11.7, which 7 cuts off: one deviation.
    const cut = agaccEncode([0, 2, 2, 8], 4, 1);
    expect([...cut.codes]).toEqual([-7, -2, -2, 7]);
    expectClose(agaccDecode(cut, 4, 1), [0, 15 / 7, 15 / 7, 6], tolerances.f64);
  });

  test("three thresholds and the eviction line", () => {
    expect(agaccTiers([0.9, 0.5, 0.3, 0.2, 0.05, 0.01], { high: 0.5, low: 0.2, evict: 0.05 }, 8, 4)).toEqual([16, 8, 8, 4, 4, 0]);
  });

  test("pruning: the less important, the more channels, the smallest first", () => {
    expect([0, 0.1, 0.2, 5].map((value) => pruningRate(value, 0.2, 0.5))).toEqual([0.5, 0.25, 0, 0]);
    expect([...pruneChannels([3, -1, 2, -4], 0.5)]).toEqual([3, 0, 0, -4]);
    expect([...pruneChannels([3, -1, 2, -4], 0.49)]).toEqual([3, 0, 2, -4]);
  });
});

test("DiffKV's tiers are relative to uniform attention, the recent ones untouched", () => {
  const attention = [0.3, 0.0019, 0.01, 0.1, 0, 0.001]; // uniform: 1/6
  expect(diffKvTiers(attention, { high: 1, low: 0.02, recent: 1 })).toEqual(["high", "pruned", "low", "low", "pruned", "recent"]);
  expect(diffKvTiers(attention, { high: 0.04, low: 0.04, recent: 0 })).toEqual(["high", "pruned", "high", "high", "pruned", "pruned"]);
});

describe("rate-distortion", () => {
  const rule = { kappa: 0.3, power: 1.2 };
  const options = [
    { logitNoise: 0.4, valueError: 0.13, bytes: 40 },
    { logitNoise: 0.02, valueError: 0.0075, bytes: 72 },
    { logitNoise: 0, valueError: 0, bytes: 260 },
  ];
  const slot = (weight: number): RatedSlot => ({ importance: weight, valueEnergy: 1, layerWeight: 1, options });

  test("costs, by hand", () => {
    expect(ratedCost({ ...slot(0.5), layerWeight: 2 }, -1, rule)).toBeCloseTo(2 * 0.5 ** 1.2, 12);
    expect(ratedCost(slot(0.5), 1, rule)).toBeCloseTo(0.5 ** 1.2 * (0.3 * (1 - Math.exp(-0.02)) + 0.0075), 12);
    expect(ratedCost({ ...slot(1), valueEnergy: 4 }, 0, { kappa: 0.2, power: 1 })).toBeCloseTo(0.2 * (1 - Math.exp(-0.4)) * 4 + 0.13, 12);
  });

  test("what costs nothing is free, what costs too much is dropped", () => {
    expect(ratedChoice(slot(1), 0, rule)).toBe(2);
    expect(ratedChoice(slot(1), 1, rule)).toBe(-1);
    expect(ratedChoice(slot(0), 1e-9, rule)).toBe(-1);
  });

  test("the allocation fits, one lambda serves all, and no single exchange at equal bytes is better", () => {
    fc.assert(
      fc.property(fc.array(importance, { minLength: 2, maxLength: 8 }), fc.integer({ min: 0, max: 1000 }), (weights, bytes) => {
        const slots = weights.map(slot);
        const { choices, lambda } = ratedAllocation(slots, bytes, rule);
        const bytesOf = (option: number): number => options[option]?.bytes ?? 0;
        expect(choices.reduce((sum, option) => sum + bytesOf(option), 0)).toBeLessThanOrEqual(bytes);
        const total = choices.reduce((sum, option, n) => sum + ratedCost(slots[n]!, option, rule) + lambda * bytesOf(option), 0);
        for (const [n, given] of choices.entries())
          for (const other of [-1, 0, 1, 2]) {
            const exchanged = total - ratedCost(slots[n]!, given, rule) - lambda * bytesOf(given) + ratedCost(slots[n]!, other, rule) + lambda * bytesOf(other);
            expect(exchanged).toBeGreaterThanOrEqual(total - 1e-12);
          }
      }),
    );
  });

  test("it spends the bytes as well as an exhaustive search on its own convex hull", () => {
    const slots = [0.6, 0.2, 0.1, 0.05].map(slot);
    const { choices } = ratedAllocation(slots, 400, rule);
    const cost = (all: readonly number[]): number => all.reduce((sum, option, n) => sum + ratedCost(slots[n]!, option, rule), 0);
    const bytesOf = (all: readonly number[]): number => all.reduce((sum, option) => sum + (options[option]?.bytes ?? 0), 0);
    const every = [-1, 0, 1, 2];
    const all = every.flatMap((a) => every.flatMap((b) => every.flatMap((c) => every.map((d) => [a, b, c, d]))));
    // Lagrangian choices are the best for the very bytes that they use.
    const best = Math.min(...all.filter((candidate) => bytesOf(candidate) <= bytesOf(choices)).map(cost));
    expect(cost(choices)).toBeCloseTo(best, 12);
  });

  test("weights of layers: mean 1, the geometric mean between the two", () => {
    const [power, sensitivity] = [
      [1, 2, 4],
      [1, 1, 4],
    ];
    const of = (kind: Parameters<typeof layerWeights>[0]): number[] => layerWeights(kind, power!, sensitivity!);
    for (const kind of ["residual", "sensitivity", "geometric", "equal"] as const) expect(of(kind).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(3, 12);
    expect(of("residual")[0]! / of("residual")[2]!).toBeCloseTo(4, 12);
    expect(of("sensitivity")[2]! / of("sensitivity")[0]!).toBeCloseTo(4, 12);
    expect(of("geometric")[0]! / of("geometric")[2]!).toBeCloseTo(1, 12);
  });

  test("the cheap errors", () => {
    const errors = cheapErrors({ keyEnergy: 10, queryEnergy: 32, headSize: 8, valueEnergy: 3 }, { key: 0.0075, value: 0.133 });
    expect(errors.logitNoise).toBeCloseTo((0.0075 * 10 * 32) / 64, 12);
    expect(errors.valueError).toBeCloseTo(0.399, 12);
  });
});

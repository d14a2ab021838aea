// shares: the choice of formats at a price, layers' parts of a budget, and rows under a choice.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FORMATS, formatByName } from "../../../src/cache/formats";
import { atLeast, chooseWithin, costsOf, costUnder, type LayerText, offerOf, optimalShares, rowsUnder, uniformChoice } from "../../../src/calibrate/shares";
import { type HeadDims, headStatistics } from "../../../src/calibrate/statistics";
import { DROPPED } from "../../../src/kernels/prefill-attention";
import { float16Bits } from "../../../src/load/float16";
import { normals } from "../../kernels/fixtures";

const dims: HeadDims = { heads: 4, kvHeads: 2, headSize: 32, sinks: 4 };
const rule = { kappa: 0.3, power: 1.2, recency: 0, recencySpan: 32, sinks: 4, ring: 16, ringBits: 16 as const };
const T = 120;

function layer(seed: number, size = 1): LayerText {
  const halves = (at: number): Uint16Array => Uint16Array.from(normals(at, 2 * T * 32), (value) => float16Bits(size * value));
  const rows = { tokens: T, queries: normals(seed, T * 4 * 32), rotated: normals(seed + 1, T * 4 * 32), keys: halves(seed + 2), values: halves(seed + 3) };
  const importance = normals(seed + 4, 2 * T).map((value) => Math.exp(2 * value) / T / 7);
  return { ...rows, importance, heads: [0, 1].map((head) => headStatistics(rows, head, dims)) };
}

const layers = [layer(10), layer(20), layer(30, 4)];
const offer = offerOf(32, () => true);
const costs = layers.map((one) => costsOf(one, offer, rule, dims));

test("16 bits are not on offer unless nothing else is, a floor takes formats away", () => {
  expect(offer.formats.map(({ name }) => name)).toEqual(FORMATS.map(({ name }) => name).filter((name) => name !== "k16v16"));
  expect(offerOf(32, ({ keyBits }) => keyBits >= 8).formats.map(({ name }) => name)).toEqual(["k8v8", "k8v4"]);
  expect(offerOf(32, ({ keyBits }) => keyBits >= 16).formats.map(({ name }) => name)).toEqual(["k16v16"]);
});

test("dropping costs the most, eight bits the least, and sinks and the newest are not judged", () => {
  const { costs: all, slots } = costs[0]!;
  expect(slots).toBe(2 * (T - 4 - 8));
  const columns = offer.bytes.length;
  for (let slot = 0; slot < slots; slot++) {
    const row = all.subarray(slot * columns, (slot + 1) * columns);
    expect(Math.max(...row)).toBe(row[columns - 1]);
    expect(Math.min(...row)).toBe(row[0]);
  }
});

describe("a layer's choice", () => {
  const bytesOf = (choice: Int8Array): number => choice.reduce((sum, column) => sum + offer.bytes[column]!, 0);

  test("stays within its bytes, uses them, and costs less than any one format of as many bytes", () => {
    for (const name of ["k2v2", "k4v4"] as const) {
      const uniform = uniformChoice(costs[0]!, offer, formatByName(name));
      const chosen = chooseWithin(costs[0]!, bytesOf(uniform), offer);
      expect(bytesOf(chosen)).toBeLessThanOrEqual(bytesOf(uniform));
      expect(bytesOf(chosen)).toBeGreaterThan(0.97 * bytesOf(uniform));
      expect(costUnder(costs[0]!, chosen, offer)).toBeLessThan(0.9 * costUnder(costs[0]!, uniform, offer));
    }
  });

  test("without bytes everything is dropped, and marked so; what is not judged stays", () => {
    const { keys, values } = rowsUnder(layers[0]!, chooseWithin(costs[0]!, 0, offer), offer, rule, dims);
    for (let head = 0; head < 2; head++)
      for (let t = 0; t < T; t++) {
        const row = (halves: Uint16Array): number[] => [...halves.subarray((head * T + t) * 32, (head * T + t + 1) * 32)];
        const kept = t < 4 || t >= T - 8;
        expect(row(keys)).toEqual(kept ? row(layers[0]!.keys) : Array(32).fill(DROPPED));
        if (kept) expect(row(values)).toEqual(row(layers[0]!.values));
      }
  });
});

test("shares sum to 1, none is below a fifth of an equal one, larger ones keep their proportions", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 40 }), (parts) => {
      const shares = atLeast(parts);
      const least = 0.2 / parts.length;
      expect(Math.abs(shares.reduce((a, b) => a + b) - 1)).toBeLessThan(1e-9);
      for (const share of shares) expect(share).toBeGreaterThan(least * (1 - 1e-6));
      const high = shares.flatMap((share, n) => (share > least * (1 + 1e-6) ? [share / parts[n]!] : []));
      for (const factor of high) expect(factor / high[0]!).toBeCloseTo(1, 6);
    }),
  );
});

test("a layer whose errors matter more gets more", () => {
  const budget = { rule, dims, tokens: T, ratio: 0.3 };
  const even = optimalShares(costs, [1, 1, 1], offer, budget);
  const weighted = optimalShares(costs, [100, 1, 1], offer, budget);
  expect(even[2]).toBeGreaterThan(even[0]!); // its values are four times as large
  expect(weighted[0]).toBeGreaterThan(even[0]!);
});

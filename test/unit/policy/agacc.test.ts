// agacc: formats by threshold against the document's own formula, and what is refused.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { PolicySpec } from "../../../src/engine-types";
import { resolvePolicy } from "../../../src/policy/policy";
import { agaccLinearBits, agaccTiers, EVICTED } from "../../reference/precision";

/** Bits of an importance under a policy's thresholds, as choose-formats gives them; 0: dropped. */
function bitsUnder(precision: PolicySpec["precision"], importance: number): number {
  const { formats, thresholds } = resolvePolicy({ precision });
  const tier = thresholds.findLastIndex((threshold) => importance >= threshold);
  return formats[tier]?.keyBits ?? 0;
}

test("bits are the document's line, rounded down to bits that a format has", () => {
  const number = fc.double({ min: 0.5, max: 12, noNaN: true });
  fc.assert(
    fc.property(fc.array(number, { minLength: 1, maxLength: 12 }), fc.integer({ min: 2, max: 8 }), fc.integer({ min: 8, max: 16 }), (between, least, most) => {
      const [low, high] = [0.5, 12];
      const line = agaccLinearBits([low, high, ...between], least, most);
      const precision = { kind: "agacc", bits: [least, most], thresholds: [0.01, low, high] } as const;
      // A hair above, as threshold and line may round a bound to either side.
      [low, high, ...between].forEach((importance, n) => {
        const stored = [2, 4, 8, 16].findLast((bits) => bits <= (line[n] ?? 0));
        const got = [importance, importance * (1 + 1e-12)].map((near) => bitsUnder(precision, near));
        expect(got).toContain(stored);
      });
    }),
  );
});

test("three bands: dropped, least, between, most", () => {
  const precision = { kind: "agacc", bits: [4, 16], thresholds: [0.05, 0.2, 0.5] } as const;
  const values = [0.9, 0.5, 0.2, 0.05, 0.01];
  expect(values.map((value) => bitsUnder(precision, value))).toEqual([16, 16, 4, 4, 0]);
  // The document's three bands have one number of bits between the thresholds: the line passes through more.
  const bands = agaccTiers(values, { high: 0.49, low: 0.2, evict: 0.05 }, 8, 4);
  expect(values.map((value) => bitsUnder(precision, value) === EVICTED)).toEqual(bands.map((bits) => bits === EVICTED));
  expect(bitsUnder(precision, 0.35)).toBe(8);
});

test("defaults: 2 to 8 bits; more only where asked for; other formats by the mean of their bits", () => {
  const names = (precision: PolicySpec["precision"]): string[] => resolvePolicy({ precision }).formats.map(({ name }) => name);
  expect(names({ kind: "agacc" })).toEqual(["k2v2", "k4v4", "k8v8"]);
  expect(names({ kind: "agacc", bits: [3, 16] })).toEqual(["k2v2", "k4v4", "k8v8", "k16v16"]);
  expect(names({ kind: "agacc", bits: [4, 4] })).toEqual(["k4v4"]);
  expect(resolvePolicy({ precision: { kind: "agacc" } }).thresholds).toEqual([0.1, 4, 10]);
  const mixed = resolvePolicy({ precision: { kind: "agacc", formats: ["k4v2", "k8v4", "k8v8"], bits: [3, 8], thresholds: [0.1, 1, 6] } });
  expect(mixed.formats.map(({ name }) => name)).toEqual(["k4v2", "k8v4", "k8v8"]);
  expect(mixed.thresholds).toEqual([0.1, 4, 6]);
});

test("the presets use the tiers' search, each with its own", () => {
  expect(resolvePolicy("agacc")).toMatchObject({ mode: "tiers", quantizer: "deviation", score: { kind: "attention-history" } });
  expect(resolvePolicy("diffkv")).toMatchObject({ mode: "tiers", quantizer: "range", thresholds: [0.02, 1], score: { kind: "snapkv", window: 64, pool: 1 } });
  expect(resolvePolicy("diffkv").formats.map(({ name }) => name)).toEqual(["k4v2", "k8v4"]);
  expect(resolvePolicy("uniform-2").formats.map(({ name }) => name)).toEqual(["k2v2"]);
});

test.each<[string, unknown, string]>([
  ["two thresholds", { kind: "agacc", thresholds: [1, 2] }, "precision.thresholds"],
  ["thresholds out of order", { kind: "agacc", thresholds: [2, 1, 3] }, "precision.thresholds"],
  ["an eviction threshold of zero", { kind: "agacc", thresholds: [0, 1, 3] }, "precision.thresholds"],
  ["one bit", { kind: "agacc", bits: [1, 8] }, "precision.bits"],
  ["bits out of order", { kind: "agacc", bits: [8, 4] }, "precision.bits"],
  ["bits as a number", { kind: "agacc", bits: 4 }, "precision.bits"],
  ["an unknown quantizer", { kind: "tiers", quantizer: "median" }, "precision.quantizer"],
  ["rate-distortion by errors of another quantizer", { kind: "rate-distortion", quantizer: "deviation" }, "precision.quantizer"],
])("%s: refused", (_, precision, field) => {
  expect(() => resolvePolicy({ precision } as PolicySpec)).toThrowError(
    expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }),
  );
});

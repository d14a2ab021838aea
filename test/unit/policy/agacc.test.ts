// agacc: formats by threshold against the document's own formula, and what is refused.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { PolicySpec, ScoreSpec } from "../../../src/engine-types";
import { resolvePolicy } from "../../../src/policy/policy";
import { checkWindow } from "../../../src/policy/reevaluation";
import { SCORERS } from "../../../src/policy/scorers";
import { agaccLinearBits, agaccTiers, EVICTED, pruningRate } from "../../reference/precision";

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

test("pruning by hand: rate .9 (1 - I / low) of a low of 1, rounded down to a half or three quarters", () => {
  const precision = { kind: "agacc", bits: [4, 8], thresholds: [0.05, 1, 10], prune: { most: 0.9 } } as const;
  const { formats, thresholds } = resolvePolicy({ precision });
  expect(formats.map(({ name }) => name)).toEqual(["k4v4-quarter", "k4v4-half", "k4v4", "k8v8"]);
  // p = .75 where I = 1 - .75 / .9 = 1/6, p = .5 where I = 4/9.
  expect(thresholds.map((value) => Math.round(1e6 * value) / 1e6)).toEqual([0.05, 0.166667, 0.444444, 10]);
});

test("pruning is the document's rate, rounded down to what a format leaves out", () => {
  const unit = { min: 0.01, max: 1, noNaN: true };
  fc.assert(
    fc.property(
      fc.double(unit),
      fc.double({ min: 1e-3, max: 12, noNaN: true }),
      fc.constantFrom(4, 8),
      fc.constantFrom(0.5, 0.75),
      (most, importance, least, sparsity) => {
        const precision = { kind: "agacc", bits: [least, 8], thresholds: [1e-3, 2, 10], prune: { most, sparsity } } as const;
        const { formats, thresholds } = resolvePolicy({ precision });
        expect([...thresholds].sort((a, b) => a - b)).toEqual(thresholds);
        const format = formats[thresholds.findLastIndex((threshold) => importance >= threshold)];
        const left = format?.basis === "none" ? 1 - format.kept : 0;
        const near = [importance * (1 - 1e-9), importance * (1 + 1e-9)].map((value) => pruningRate(value, 2, most));
        const wanted = near.map((rate) => [0.75, 0.5].filter((part) => part >= sparsity).find((part) => rate >= part) ?? 0);
        expect(wanted).toContain(left);
      },
    ),
  );
});

test("the presets use the tiers' search, each with its own", () => {
  expect(resolvePolicy("agacc")).toMatchObject({ mode: "tiers", deviations: 3, score: { kind: "attention-history" } });
  expect(resolvePolicy("diffkv")).toMatchObject({ mode: "tiers", deviations: 0, thresholds: [0.02, 1], score: { kind: "snapkv", window: 64, pool: 1 } });
  expect(resolvePolicy("diffkv").formats.map(({ name }) => name)).toEqual(["k4v2", "k8v4"]);
  expect(resolvePolicy("uniform-2").formats.map(({ name }) => name)).toEqual(["k2v2"]);
});

test("s: 3 deviations unless told, .5 to 16, with every precision whose grid is even around the mean", () => {
  const deviations = (precision: PolicySpec["precision"]): number => resolvePolicy({ precision }).deviations;
  expect(deviations({ kind: "agacc", quantizer: "deviation" })).toBe(3);
  expect(deviations({ kind: "agacc", quantizer: "deviation", deviations: 0.5 })).toBe(0.5);
  expect(deviations({ kind: "tiers", quantizer: "deviation", deviations: 16 })).toBe(16);
  expect(deviations({ kind: "uniform", quantizer: "deviation", deviations: 2.5 })).toBe(2.5);
  expect(deviations({ kind: "agacc" })).toBe(0);
});

test.each<[string, unknown, string]>([
  ["two thresholds", { kind: "agacc", thresholds: [1, 2] }, "precision.thresholds"],
  ["thresholds out of order", { kind: "agacc", thresholds: [2, 1, 3] }, "precision.thresholds"],
  ["an eviction threshold of zero", { kind: "agacc", thresholds: [0, 1, 3] }, "precision.thresholds"],
  ["one bit", { kind: "agacc", bits: [1, 8] }, "precision.bits"],
  ["bits out of order", { kind: "agacc", bits: [8, 4] }, "precision.bits"],
  ["a pruning rate above 1", { kind: "agacc", bits: [4, 8], prune: { most: 1.1 } }, "precision.prune.most"],
  ["a pruning rate below 0", { kind: "agacc", bits: [4, 8], prune: { most: -0.1 } }, "precision.prune.most"],
  ["a sparsity that is no number", { kind: "agacc", bits: [4, 8], prune: { most: 0.9, sparsity: Number.NaN } }, "precision.prune.sparsity"],
  ["pruned vectors of two bits", { kind: "agacc", prune: { most: 0.9 } }, "precision.prune"],
  ["bits as a number", { kind: "agacc", bits: 4 }, "precision.bits"],
  ["an unknown quantizer", { kind: "tiers", quantizer: "median" }, "precision.quantizer"],
  ["rate-distortion by errors of another quantizer", { kind: "rate-distortion", quantizer: "deviation" }, "precision.quantizer"],
  ["no deviations", { kind: "agacc", quantizer: "deviation", deviations: 0 }, "precision.deviations"],
  ["more deviations than a code can tell apart", { kind: "tiers", quantizer: "deviation", deviations: 17 }, "precision.deviations"],
  ["deviations that are no number", { kind: "agacc", quantizer: "deviation", deviations: Number.NaN }, "precision.deviations"],
  ["deviations of a range", { kind: "agacc", quantizer: "range", deviations: 3 }, "precision.deviations"],
])("%s: refused", (_, precision, field) => {
  expect(() => resolvePolicy({ precision } as PolicySpec)).toThrowError(
    expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }),
  );
});

test.each<[string, PolicySpec, string]>([
  ["re-evaluation of what has no importance", { precision: { kind: "uniform" }, reevaluate: {} }, "reevaluate"],
  ["never", { precision: { kind: "agacc" }, reevaluate: { every: 0 } }, "reevaluate.every"],
  ["a window of nothing", { precision: { kind: "agacc" }, reevaluate: { window: 0 } }, "reevaluate.window"],
  ["a window that is no whole number of periods", { precision: { kind: "agacc" }, reevaluate: { every: 32, window: 100 } }, "reevaluate.window"],
  ["a window of too many periods", { precision: { kind: "agacc" }, reevaluate: { every: 32, window: 320 } }, "reevaluate.window"],
  ["a decay above 1", { precision: { kind: "agacc" }, reevaluate: { decay: 2 } }, "reevaluate.decay"],
  ["a rise that is a fall", { precision: { kind: "agacc" }, reevaluate: { rise: 0.5 } }, "reevaluate.rise"],
  ["a field of no meaning", { precision: { kind: "agacc" }, reevaluate: { often: 1 } as PolicySpec["reevaluate"] & object }, "reevaluate"],
])("%s: refused", (_, policy, field) => {
  expect(() => resolvePolicy(policy)).toThrowError(expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }));
});

test("alpha is re-evaluation's: a prompt's score has no decay, and says where it belongs", () => {
  const score = { kind: "attention-history", decay: 0.5 } as const;
  expect(() => resolvePolicy({ score, precision: { kind: "agacc" } })).toThrowError(
    expect.objectContaining({
      code: "BAD_OPTION",
      details: expect.objectContaining({ field: "score.decay", expected: expect.stringMatching(/reevaluate\.decay/) }),
    }),
  );
  const { decay: _, ...plain } = score;
  expect(resolvePolicy({ score: plain, precision: { kind: "agacc" }, reevaluate: { decay: 0.25 } }).reevaluate?.decay).toBe(0.25);
});

test("the exponent of P: .5 unless told, 0 to 1, for prompt and re-evaluation alike; no other score has one", () => {
  const precision = { kind: "agacc" } as const;
  const exponents = (score: ScoreSpec): (number | undefined)[] => {
    const policy = resolvePolicy({ score, precision, reevaluate: {} });
    return [policy.score?.distance, policy.reevaluate?.distance];
  };
  expect(exponents({ kind: "attention-history" })).toEqual([0.5, 0.5]);
  for (const distance of [0, 0.25, 1]) expect(exponents({ kind: "attention-history", distance })).toEqual([distance, distance]);
  const others = SCORERS.filter(({ name }) => name !== "attention-history");
  for (const { name } of others) {
    expect(exponents({ kind: name })).toEqual([0, 0]);
    for (const distance of [0, 0.5])
      expect(() => resolvePolicy({ score: { kind: name, distance }, precision })).toThrowError(
        expect.objectContaining({
          code: "BAD_OPTION",
          details: expect.objectContaining({ field: "score.distance", expected: expect.stringMatching(/attention-history/) }),
        }),
      );
  }
  for (const distance of [-0.1, 1.1, Number.NaN])
    expect(() => resolvePolicy({ score: { kind: "attention-history", distance }, precision })).toThrowError(
      expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field: "score.distance" }) }),
    );
});

test("a window longer than the request: refused", () => {
  const policy = resolvePolicy({ precision: { kind: "agacc" }, reevaluate: { every: 300, window: 300 } });
  expect(() => checkWindow(resolvePolicy("agacc"), 10)).not.toThrow(); // the default
  expect(() => checkWindow(policy, 300)).not.toThrow();
  expect(() => checkWindow(policy, 299)).toThrowError(
    expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field: "reevaluate.window" }) }),
  );
});

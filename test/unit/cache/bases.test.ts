// bases: what the shaders read is the calibration's two matrices with scales and rotations folded in, and the coded key is closer where queries look.

import { describe, expect, test } from "vitest";
import { packBases } from "../../../src/cache/bases";
import { FORMATS, formatByName, relativeErrors } from "../../../src/cache/formats";
import { decode, decodeKlt, dot, encode, encodeKlt, fold, hadamard, half, times } from "../../reference/codec";
import { unpackBases } from "../../reference/page-table";
import { randomCalibration, randomHead } from "../../reference/random-bases";
import { gaussian, seeded } from "../../reference/scoring-case";
import { expectClose, tolerances } from "../../tolerances";

const kltFormats = FORMATS.filter((format) => format.basis === "klt");

test.each([32, 64, 96, 128])("head size %d: packed bases are the definition's, rounded to f16", (D) => {
  const [L, G] = [2, D < 128 ? 2 : 1];
  const calibration = randomCalibration({ L, H: G, G, D }, D);
  const words = packBases(calibration);
  expect(words.length % (L * 64)).toBe(0); // a layer can be bound by itself
  for (let index = 0; index < L * G; index++) {
    const [first, last] = [index * D * D, (index + 1) * D * D];
    const wanted = fold(
      calibration.keyBasis.subarray(first, last),
      calibration.queryBasis.subarray(first, last),
      calibration.groupScales.subarray(index * 4, index * 4 + 4),
    );
    const got = unpackBases(words, { kvHeads: G, headSize: D }, Math.floor(index / G), index % G);
    expectClose(got.keys, wanted.keys, tolerances.half);
    expectClose(got.queries, wanted.queries, tolerances.half);
    expectClose(got.energies, wanted.energies, tolerances.half);
    expectClose(got.lengths, wanted.lengths, tolerances.half);
  }
});

describe.each([32, 64, 96])("head size %d", (D) => {
  const head = randomHead(D, 7 * D);
  const folded = fold(head.keyBasis, head.queryBasis, head.scales);
  const keys = Array.from({ length: 300 }, () => head.key());
  const queries = Array.from({ length: 40 }, () => head.query());

  test("turned, queries and keys keep their products; channels have variance 1, alike within a group", () => {
    const energy = new Float64Array(4);
    for (const key of keys) {
      const u = times(folded.keys, key);
      for (const query of queries.slice(0, 4)) expectClose([dot(times(folded.queries, query), u)], [dot(query, key)], tolerances.f64);
      expectClose(times(folded.queries, u, true), key, tolerances.f64);
      u.forEach((x, c) => {
        const group = Math.floor((4 * c) / D);
        energy[group] = (energy[group] ?? 0) + (x * x * 4) / D / keys.length;
      });
    }
    for (const mean of energy) expect(Math.abs(mean - 1)).toBeLessThan(0.1); // 300 keys of at least 8 channels: standard error .03
  });

  test("lengths estimate |k - mean|^2 without leaving the basis", () => {
    const estimates = keys.map((key) => times(folded.keys, key).reduce((sum, x, c) => sum + x * x * (folded.lengths[Math.floor((4 * c) / D)] ?? 0), 0));
    const lengths = keys.map((key) => dot(key, key));
    const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
    const ratio = total(estimates) / total(lengths);
    expect(Math.abs(ratio - 1)).toBeLessThan(0.2); // variances within a group differ, which the estimate leaves out
    for (const [index, length] of lengths.entries()) expect(Math.abs(Math.log((estimates[index] ?? 0) / length))).toBeLessThan(1);
  });

  test.each(kltFormats)("$name: what is stored keeps its product with itself", ({ keyGroups }) => {
    for (const key of keys.slice(0, 40)) {
      const u = times(folded.keys, key);
      const back = decodeKlt(encodeKlt(u, keyGroups, folded.energies), keyGroups);
      const stored = u.map((x, c) => (keyGroups[Math.floor((4 * c) / D)] ? x * (folded.energies[Math.floor((4 * c) / D)] ?? 0) : 0));
      expectClose([dot(stored, back)], [dot(stored, u)], tolerances.halfPrecision);
    }
  });

  test("keys of skewed statistics: logits of 2-bit keys are off by less than half as much as in a Hadamard basis", () => {
    let [calibrated, plain, finer] = [0, 0, 0];
    for (const key of keys) {
      const u = times(folded.keys, key);
      const back = (groups: readonly number[]): Float64Array => times(folded.queries, decodeKlt(encodeKlt(u, groups, folded.energies), groups), true);
      const other = hadamard(decode(encode(hadamard(key), 2)));
      const [coarse, fine] = [back([4, 2, 2, 0]), back([4, 4, 2, 2])];
      for (const query of queries) {
        calibrated += (dot(query, coarse) - dot(query, key)) ** 2;
        plain += (dot(query, other) - dot(query, key)) ** 2;
        finer += (dot(query, fine) - dot(query, key)) ** 2;
      }
    }
    expect(calibrated).toBeLessThan(0.5 * plain);
    expect(finer).toBeLessThan(0.5 * calibrated);
  });

  test("a key thirty times as long, and one where hardly anything is stored, stay in bounds", () => {
    const normal = gaussian(seeded(D));
    const long = times(folded.keys, head.key()).map((x) => 30 * x);
    const hidden = Float64Array.from({ length: D }, (_, c) => (c < D / 2 ? 0.01 : 1) * normal());
    for (const u of [long, hidden])
      for (const { keyGroups } of kltFormats) {
        const back = decodeKlt(encodeKlt(u, keyGroups, folded.energies), keyGroups);
        const counts = (x: Float64Array): number => x.reduce((sum, value, c) => sum + value ** 2 * (folded.energies[Math.floor((4 * c) / D)] ?? 0), 0);
        expect(counts(u.map((x, c) => x - (back[c] ?? 0)))).toBeLessThan(2 * counts(u)); // unbiased, so not always better than nothing
      }
  });
});

test("measured errors stand for the table's; without a calibration its formats are refused", () => {
  const calibration = randomCalibration({ L: 2, H: 2, G: 2, D: 32 });
  const factor = half(1) * (0.8 + 0.2 * 1.5); // mean over four heads
  expectClose(Object.values(relativeErrors(formatByName("k4v2"), calibration)), [0.0075 * factor, 0.133 * factor], tolerances.half);
  expect(Object.values(relativeErrors(formatByName("k4v2")))).toEqual([0.0075, 0.133]);
  expect(Object.values(relativeErrors(formatByName("k16v16"), calibration))).toEqual([0, 0]);
  for (const format of kltFormats) {
    expect(relativeErrors(format, calibration).key).toBeGreaterThan(0);
    expect(() => relativeErrors(format)).toThrowError(expect.objectContaining({ code: "BAD_OPTION" }));
    expect(() => relativeErrors(format, { ...calibration, errors: [] })).toThrowError(expect.objectContaining({ code: "BAD_OPTION" }));
  }
});

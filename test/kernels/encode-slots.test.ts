// encode-slots: codes, scales and what they decode to, against the f64 codec; the bytes that matter are the GPU's own.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Format, formatByName } from "../../src/cache/formats";
import type { FormatName } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { type Coded, decode, decodeKlt, dot, encode, encodeKlt, type Folded, hadamard, times } from "../reference/codec";
import { type CacheWords, foldedOf, meansOf, type StoredSlot, slotsInPages } from "../reference/page-table";
import { randomCalibration, randomHead } from "../reference/random-bases";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench, type Truth } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

/** Expected relative squared error of Gaussian vectors, by bits: measured by this project's simulation; the range covers head sizes 32 to 128. */
const errorRange = { 8: [1e-5, 5e-5], 4: [0.004, 0.012], 2: [0.11, 0.155], 1: [0.5, 0.65] } as const;

const cases: [number, FormatName][] = [32, 64, 96, 128].flatMap((D) =>
  (["k8v8", "k8v4", "k4v2", "k2v2"] as const).map((format): [number, FormatName] => [D, format]),
);

describe.each(cases)("head size %d, %s", (D, format) => {
  test("codes are the twin's, errors what the format promises", async () => {
    const bench = new CacheBench(gpu, { D, G: 1, group: 1, layers: 1 }, { precision: { kind: "uniform", format } }, { tokens: 160 });
    await bench.prompt(160);
    const words = await bench.words();
    const means = meansOf(words, 0, 0);
    const slots = slotsInPages(words, 0, 0);
    expect(slots.map(({ position }) => position)).toEqual(Array.from({ length: 160 - 4 - 8 }, (_, i) => i + 4));
    const { keyBits, valueBits } = bench.policy.formats[0] as { keyBits: 8 | 4 | 2; valueBits: 8 | 4 | 2 };
    const truth = bench.truth[0]?.[0] ?? [];
    checkPart(slots, truth, "key", keyBits, means[0]);
    checkPart(slots, truth, "value", valueBits, means[1]);
    bench.dispose();
  });
});

/** By mean and deviation, by s: s deviations on seven codes; at 8 bits what lies beyond them, which is cut off, is most of the error. */
const deviationRange = { 3: { ...errorRange, 8: [5e-5, 6e-4], 4: [0.012, 0.018] }, 2: { ...errorRange, 8: [0.006, 0.012], 4: [0.012, 0.02] } } as const;

describe.each([32, 64, 96, 128])("head size %d, by mean and deviation", (D) => {
  test.each([
    ["k8v4", 3],
    ["k4v2", 3],
    ["k8v4", 2],
    ["k4v2", 2],
  ] as const)("%s, s = %d: codes are the twin's", async (format, s) => {
    const policy = { precision: { kind: "uniform", format, quantizer: "deviation", ...(s !== 3 && { deviations: s }) } } as const; // 3: the default
    const bench = new CacheBench(gpu, { D, G: 1, group: 1, layers: 1 }, policy, { tokens: 160 });
    await bench.prompt(160);
    const words = await bench.words();
    const [keyMean, valueMean] = meansOf(words, 0, 0);
    const slots = slotsInPages(words, 0, 0);
    const truth = bench.truth[0]?.[0] ?? [];
    const { keyBits, valueBits } = formatByName(format) as { keyBits: 8 | 4; valueBits: 4 | 2 };
    checkPart(slots, truth, "key", keyBits, keyMean, s);
    checkPart(slots, truth, "value", valueBits, valueMean, s);
    bench.dispose();
  });
});

const calibrated: [number, FormatName][] = [32, 64, 96, 128].flatMap((D) =>
  (["k3v2", "k2v2-klt", "k1.5v2", "k1.5v1"] as const).map((format): [number, FormatName] => [D, format]),
);

describe.each(calibrated)("head size %d, %s", (D, name) => {
  test("codes are the twin's in every head's own basis", async () => {
    const G = D === 64 ? 2 : 1;
    const calibration = randomCalibration({ L: 1, H: G, G, D }, D);
    const bench = new CacheBench(gpu, { D, G, group: 1, layers: 1 }, { precision: { kind: "uniform", format: name } }, { tokens: 100, calibration });
    await bench.prompt(100);
    const words = await bench.words();
    const format = formatByName(name);
    for (let head = 0; head < G; head++) {
      const [keyMean, valueMean] = meansOf(words, 0, head);
      const slots = slotsInPages(words, 0, head);
      expect(slots.length).toBe(100 - 4 - 8);
      const truth = bench.truth[0]?.[head] ?? [];
      const folded = foldedOf(words, 0, head);
      expectCodes(slots.map(({ position, keyCoded }) => [keyCoded, coderOf(format, folded).encode(minus(truth[position]?.key, keyMean))]));
      checkPart(slots, truth, "value", format.valueBits as 2 | 1, valueMean);
    }
    bench.dispose();
  });
});

test("formats of a calibration are refused without one, and with one of another model", () => {
  const policy = { precision: { kind: "uniform", format: "k2v2-klt" } } as const;
  const shape = { D: 32, G: 2, group: 1, layers: 1 };
  const refused = expect.objectContaining({ code: "BAD_OPTION" });
  expect(() => new CacheBench(gpu, shape, policy, { tokens: 40 })).toThrowError(refused);
  expect(() => new CacheBench(gpu, shape, policy, { tokens: 40, calibration: randomCalibration({ L: 1, H: 1, G: 1, D: 32 }) })).toThrowError(refused);
});

test("keys of skewed statistics: at the same bytes the calibrated basis halves the error of logits", async () => {
  const D = 64;
  const head = randomHead(D, 1000); // head 0 of the calibration below
  const keys = Array.from({ length: 140 }, () => head.key());
  const queries = Array.from({ length: 50 }, () => head.query());
  const errors: number[] = [];
  for (const format of ["k2v2-klt", "k2v2"] as const) {
    const calibration = randomCalibration({ L: 1, H: 1, G: 1, D });
    const bench = new CacheBench(gpu, { D, G: 1, group: 1, layers: 1 }, { precision: { kind: "uniform", format } }, { tokens: 140, calibration });
    await bench.prompt(140, (position) => ({ key: (keys[position] ?? new Float64Array()).map((x) => Math.fround(x)) }));
    let error = 0;
    for (const { position, key } of slotsInPages(await bench.words(), 0, 0))
      for (const query of queries) error += dot(query, minus(key, keys[position] ?? new Float64Array())) ** 2;
    errors.push(error);
    bench.dispose();
  }
  expect(errors[0]).toBeLessThan(0.5 * (errors[1] ?? 0));
});

test("slots that are demoted from one basis to another are coded anew from what they stood for", async () => {
  const [D, G, layers] = [64, 2, 1];
  const formats = ["k1.5v1", "k2v2", "k2v2-klt", "k3v2", "k4v4", "k16v16"] as const;
  const calibration = randomCalibration({ L: layers, H: G, G, D });
  const policy = { precision: { kind: "tiers", formats, thresholds: [1, 2, 4, 8, 16, 32] } } as const;
  const bench = new CacheBench(gpu, { D, G, group: 1, layers }, policy, { tokens: 400, budgetBytes: 36_000, calibration });
  await bench.prompt(100);
  let before = await bench.words();
  const pairs: [Coded, Coded][] = [];
  const seen = new Set<string>();
  for (let i = 0; i < 240; i++) {
    await bench.append(undefined, false);
    if (i % 8 !== 7) continue;
    const after = await bench.words();
    for (let head = 0; head < G; head++)
      for (const { from, to, pair } of demotions(before, after, head)) {
        pairs.push(pair);
        seen.add(`${from.basis}${from.keyBits === 16 ? " raw" : ""} to ${to.basis}`);
      }
    before = after;
  }
  expectCodes(pairs);
  const kinds = ["hadamard raw to hadamard", "hadamard raw to klt", "hadamard to hadamard", "hadamard to klt", "klt to hadamard", "klt to klt"];
  expect([...seen].sort()).toEqual(kinds);
  bench.dispose();
});

test("sixteen bits keep every bit", async () => {
  const bench = new CacheBench(gpu, { D: 64, G: 2, group: 1, layers: 1 }, "full", { tokens: 60 });
  await bench.prompt(60);
  const words = await bench.words();
  for (let head = 0; head < 2; head++)
    for (const { position, key, value } of slotsInPages(words, 0, head)) {
      expect([...key]).toEqual([...(bench.truth[0]?.[head]?.[position]?.key ?? [])]);
      expect([...value]).toEqual([...(bench.truth[0]?.[head]?.[position]?.value ?? [])]);
    }
  bench.dispose();
});

test("a slot that never varies, and one that is its mean, decode to themselves", async () => {
  const flat = new Float64Array(64).fill(0.5);
  const calibration = randomCalibration({ L: 1, H: 1, G: 1, D: 64 });
  const quantizers = ["range", "deviation"] as const;
  for (const [format, quantizer] of (["k8v8", "k4v4", "k2v2", "k1.5v1"] as const).flatMap((name) => quantizers.map((kind) => [name, kind] as const))) {
    const policy = { precision: { kind: "uniform", format, quantizer } } as const;
    const bench = new CacheBench(gpu, { D: 64, G: 1, group: 1, layers: 1 }, policy, { tokens: 40, calibration });
    await bench.prompt(40, () => ({ key: flat, value: flat }));
    for (const { key, value } of slotsInPages(await bench.words(), 0, 0)) {
      expectClose(key, flat, tolerances.halfPrecision);
      expectClose(value, flat, tolerances.halfPrecision);
    }
    bench.dispose();
  }
});

test("importance is kept to 1/128 octave", async () => {
  const bench = new CacheBench(gpu, { D: 32, G: 1, group: 1, layers: 1 }, "rate-distortion", { tokens: 100, budgetBytes: 10_000 });
  await bench.prompt(100);
  const slots = slotsInPages(await bench.words(), 0, 0);
  expect(slots.length).toBeGreaterThan(20);
  for (const { position, importance } of slots)
    expect(Math.abs(Math.log2(importance / (bench.truth[0]?.[0]?.[position]?.importance ?? 0)))).toBeLessThan(1 / 128);
  bench.dispose();
});

function checkPart(
  slots: readonly StoredSlot[],
  truth: readonly Truth[],
  part: "key" | "value",
  bits: 8 | 4 | 2 | 1,
  mean: Float64Array,
  s: 0 | 2 | 3 = 0,
): void {
  let differ = 0;
  let codes = 0;
  let error = 0;
  let energy = 0;
  for (const slot of slots) {
    const exact = truth[slot.position]?.[part] ?? new Float64Array();
    const centred = exact.map((x, c) => x - (mean[c] ?? 0));
    const coded = part === "key" ? slot.keyCoded : slot.valueCoded;
    const own = encode(hadamard(centred), bits, undefined, s);
    expectClose([coded.scale, coded.zero], [own.scale, own.zero], tolerances.halfPrecision);
    const wanted = encode(hadamard(centred), bits, coded, s).codes;
    const got = coded.codes;
    expect(got.length).toBe(wanted.length);
    got.forEach((code, c) => {
      const off = Math.abs(code - (wanted[c] ?? 0));
      expect(off).toBeLessThanOrEqual(1);
      differ += off;
    });
    codes += got.length;
    const decoded = slot[part].map((x, c) => x - (mean[c] ?? 0));
    error += decoded.reduce((sum, x, c) => sum + (x - (centred[c] ?? 0)) ** 2, 0);
    energy += dot(centred, centred);
    if (bits < 4) expectClose([dot(decoded, centred)], [dot(centred, centred)], tolerances.halfPrecision);
  }
  expect(differ).toBeLessThanOrEqual(0.001 * codes);
  const [least, most] = (s === 0 ? errorRange : deviationRange[s])[bits];
  expect(error / energy).toBeGreaterThan(least);
  expect(error / energy).toBeLessThan(most);
}

function minus(x: Float64Array | undefined, mean: Float64Array): Float64Array {
  return mean.map((value, c) => (x?.[c] ?? Number.NaN) - value);
}

/** How a format codes a centred key, and what its codes stand for. */
function coderOf(format: Format, { keys, queries, energies }: Folded): { encode(centred: Float64Array): Coded; decode(coded: Coded): Float64Array } {
  if (format.basis === "klt") {
    const groups = format.keyGroups;
    return { encode: (x) => encodeKlt(times(keys, x), groups, energies), decode: (coded) => times(queries, decodeKlt(coded, groups), true) };
  }
  return { encode: (x) => encode(hadamard(x), format.keyBits as 8 | 4 | 2), decode: (coded) => hadamard(decode(coded)) };
}

/** Every slot of a head whose format changed: the codes it has, and those of what it stood for. */
function demotions(before: CacheWords, after: CacheWords, head: number): { from: Format; to: Format; pair: [Coded, Coded] }[] {
  const old = new Map(slotsInPages(before, 0, head).map((slot) => [slot.position, slot]));
  const folded = foldedOf(before, 0, head);
  const [keyMean] = meansOf(before, 0, head);
  return slotsInPages(after, 0, head).flatMap((slot) => {
    const was = old.get(slot.position);
    const [from, to] = [before.policy.formats[was?.format ?? -1], after.policy.formats[slot.format]];
    if (!was || !from || !to || was.format === slot.format) return [];
    const centred = from.keyBits === 16 ? minus(was.key, keyMean) : coderOf(from, folded).decode(was.keyCoded);
    return [{ from, to, pair: [slot.keyCoded, coderOf(to, folded).encode(centred)] }];
  });
}

/** The scale may be rounded the other way, and one code in a thousand fall on the other side of its threshold. */
function expectCodes(pairs: readonly [Coded, Coded][]): void {
  let [differ, codes] = [0, 0];
  for (const [got, wanted] of pairs) {
    expectClose([got.scale], [wanted.scale], tolerances.halfPrecision);
    expect(got.codes.length).toBe(wanted.codes.length);
    got.codes.forEach((code, c) => {
      const off = Math.abs(code - (wanted.codes[c] ?? 0));
      expect(off).toBeLessThanOrEqual(1);
      differ += off;
    });
    codes += got.codes.length;
  }
  expect(codes).toBeGreaterThan(0);
  expect(differ).toBeLessThanOrEqual(0.001 * codes);
}

// sparse slots: what is kept, its codes and its bytes against the f64 twin; attention over them in place; what demotion keeps of them.

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatByName, slotWords } from "../../src/cache/formats";
import type { FormatName, PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { decode, decodeSparse, encode, encodeSparse, type SparseCoded } from "../reference/codec";
import { meansOf, slotsInPages } from "../reference/page-table";
import { pruneChannels } from "../reference/precision";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const SPARSE: readonly FormatName[] = ["k8v8-half", "k8v8-quarter", "k4v4-half", "k4v4-quarter"];

test("the twin, by hand: eight channels, the two largest of them in two bits' worth of a grid of four steps", () => {
  // -3 to 3 in 15 steps of .4: 3 is code 15, -2.9 is (-2.9 + 3) / .4 = .25, code 0, decoded as -3.
  const coded = encodeSparse([0.1, 3, -0.5, 0, 1, -2.9, 0.2, -3], 4, 3);
  expect(coded.kept).toEqual([1, 5, 7]);
  expect(Array.from(coded.codes)).toEqual([15, 0, 0]);
  const x = decodeSparse(coded, 8);
  expect(Array.from(x, (value) => Math.round(1000 * value) / 1000 + 0)).toEqual([0, 2.999, 0, 0, 0, -3, 0, -3]); // .4 as f16 is .39990
  // The document's own words: what is least in size becomes 0.
  expect(Array.from(pruneChannels([0.1, 3, -0.5, 0, 1, -2.9, 0.2, -3], 5 / 8))).toEqual([0, 3, 0, 0, 0, -2.9, 0, -3]);
});

test("pruning never changes a kept value: it decodes as with every channel stored", () => {
  const vector = fc.array(fc.double({ min: -50, max: 50, noNaN: true }), { minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(vector, fc.constantFrom(4, 8), fc.constantFrom(8, 16), (x, bits, kept) => {
      const coded = encodeSparse(x, bits, kept);
      const whole = decode(encode(x, bits as 4 | 8));
      expect(coded.kept.length).toBe(kept);
      const zeroed = pruneChannels(x, 1 - kept / 32);
      decodeSparse(coded, 32).forEach((value, c) => {
        expect(value).toBe(coded.kept.includes(c) ? whole[c] : 0);
        if (!coded.kept.includes(c)) expect(zeroed[c]).toBe(0);
      });
      // Pruned once more from what it stands for, on the same grid: the same codes. A channel that was pruned stands at 0 and comes back only where nothing larger is left.
      const stands = decodeSparse(coded, 32);
      const again = encodeSparse(stands, bits, kept / 2, coded);
      const dropped = Math.max(...stands.filter((_, c) => !again.kept.includes(c)).map(Math.abs));
      for (const [index, c] of again.kept.entries()) {
        if (coded.kept.includes(c)) expect(again.codes[index]).toBe(coded.codes[coded.kept.indexOf(c)]);
        expect(Math.abs(stands[c]!)).toBeGreaterThanOrEqual(dropped);
      }
    }),
  );
});

test("bytes really drop: words of a slot, and of the pages that hold as many", async () => {
  const words = (name: FormatName, D: number): number => slotWords(formatByName(name), D);
  expect(["k8v8", ...SPARSE.slice(0, 2), "k4v4", ...SPARSE.slice(2)].map((name) => words(name as FormatName, 64))).toEqual([35, 23, 15, 19, 15, 11]);
  const pool = (format: FormatName): number => {
    const bench = new CacheBench(gpu, { D: 64, G: 2, group: 1 }, { precision: { kind: "uniform", format } }, { tokens: 600 });
    const bytes = bench.cache.buffers.pool.reduce((sum, { size }) => sum + size, 0);
    bench.dispose();
    return bytes;
  };
  const [whole, half, quarter] = (["k8v8", "k8v8-half", "k8v8-quarter"] as const).map(pool) as [number, number, number];
  expect(half / whole).toBeLessThan(0.72);
  expect(quarter / whole).toBeLessThan(0.48);
  expect(pool("k4v4-quarter") / pool("k4v4")).toBeLessThan(0.65);
});

// A head size of its own is a kernel of its own, which takes long to compile; 64 is in the tests below.
const cases = [32, 96].flatMap((D) => SPARSE.map((format) => [D, format] as const));

describe.each(cases)("head size %d, %s", (D, format) => {
  test("mask and codes are the twin's, and attention reads them in place", async () => {
    const group = D === 96 ? 8 : 3;
    // By deviation for other formats, but for these by range: no channel that is kept is cut off.
    const precision = { kind: "uniform", format, quantizer: "deviation" } as const;
    const bench = new CacheBench(gpu, { D, G: 2, group, layers: 1 }, { precision }, { tokens: 152 });
    await bench.prompt(150, (position) => (position % 7 === 0 ? { key: outlier(D, position) } : {}));
    const words = await bench.words();
    for (let head = 0; head < 2; head++) {
      const means = meansOf(words, 0, head);
      const slots = slotsInPages(words, 0, head);
      expect(slots.length).toBe(150 - 4 - 8);
      let [differ, codes] = [0, 0];
      for (const slot of slots)
        for (const [index, part] of (["key", "value"] as const).entries()) {
          const centred = minus(bench.truth[0]?.[head]?.[slot.position]?.[part] ?? new Float64Array(), means[index] ?? new Float64Array());
          const got = slot[`${part}Coded`] as SparseCoded;
          const own = encodeSparse(centred, bitsOf(format), got.kept.length);
          expectClose([got.scale, got.zero], [own.scale, own.zero], tolerances.halfPrecision);
          const wanted = encodeSparse(centred, bitsOf(format), got.kept.length, got);
          expect(got.kept).toEqual(wanted.kept);
          got.codes.forEach((code, n) => {
            expect(Math.abs(code - (wanted.codes[n] ?? 0))).toBeLessThanOrEqual(1);
            differ += Math.abs(code - (wanted.codes[n] ?? 0));
          });
          codes += got.codes.length;
        }
      expect(differ).toBeLessThanOrEqual(0.001 * codes);
    }
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    bench.dispose();
  });
});

test("mixed with other formats, in three segments, prompt and ring: attention is that over what is stored", async () => {
  const formats: FormatName[] = ["k2v2", "k4v4-quarter", "k4v4-half", "k8v8-half", "k4v4", "k16v16"];
  const policy: PolicySpec = { budget: { kind: "ada" }, precision: { kind: "tiers", formats } };
  const budgetBytes = 60_000;
  const bench = new CacheBench(gpu, { D: 64, G: 3, group: 3 }, policy, { tokens: 300, budgetBytes, segmentBytes: budgetBytes / 2 });
  await bench.prompt(230);
  for (let i = 0; i < 40; i++) for (const { got, stored } of await bench.append(undefined, i % 8 === 0)) expectClose(got, stored, tolerances.cacheAttention);
  expect(bench.cache.bytes).toBeLessThanOrEqual(budgetBytes);
  bench.dispose();
});

test("a slot that is pruned further keeps the codes of the channels it keeps; from and to other formats it is what it stood for", async () => {
  const seen = new Map<string, number>();
  const formats: FormatName[] = ["k2v2", "k4v4-quarter", "k4v4-half", "k4v4", "k16v16"];
  const bench = new CacheBench(
    gpu,
    { D: 64, G: 1, group: 1, layers: 1 },
    { precision: { kind: "tiers", formats, thresholds: [1, 2, 4, 8, 16] } },
    { tokens: 400, budgetBytes: 22_000 },
  );
  await bench.prompt(60);
  let before = await bench.words();
  for (let i = 0; i < 240; i++) {
    await bench.append(undefined, false);
    if (i % 8 !== 7) continue;
    const after = await bench.words();
    const old = new Map(slotsInPages(before, 0, 0).map((slot) => [slot.position, slot]));
    const [mean = new Float64Array()] = meansOf(after, 0, 0);
    for (const slot of slotsInPages(after, 0, 0)) {
      const was = old.get(slot.position);
      const [from, to] = [formats[was?.format ?? -1], formats[slot.format]];
      if (!was || !from || !to || from === to) continue;
      seen.set(`${from} to ${to}`, (seen.get(`${from} to ${to}`) ?? 0) + 1);
      expect(slot.format).toBeLessThan(was.format);
      if (!to.startsWith("k4v4-")) continue;
      for (const [coded, prior] of [
        [slot.keyCoded, was.keyCoded],
        [slot.valueCoded, was.valueCoded],
      ] as [SparseCoded, SparseCoded][]) {
        if (!from.startsWith("k4v4-")) continue;
        expect([coded.scale, coded.zero]).toEqual([prior.scale, prior.zero]);
        for (const [index, c] of coded.kept.entries()) expect(coded.codes[index]).toBe(prior.codes[prior.kept.indexOf(c)]);
      }
      const kept = encodeSparse(minus(was.key, mean), 4, (slot.keyCoded as SparseCoded).kept.length, slot.keyCoded);
      const missing = kept.kept.filter((c) => !(slot.keyCoded as SparseCoded).kept.includes(c));
      expect(missing.length).toBeLessThanOrEqual(from === "k4v4" ? 1 : 0); // rotated back in f32: near ties
    }
    before = after;
  }
  for (const step of ["k4v4 to k4v4-half", "k4v4-half to k4v4-quarter", "k4v4-quarter to k2v2"]) expect([...seen.keys()]).toContain(step);
  bench.dispose();
});

test("a constant vector, and one that is its mean, decode to themselves", async () => {
  const flat = new Float64Array(64).fill(0.5);
  for (const format of SPARSE) {
    const bench = new CacheBench(gpu, { D: 64, G: 1, group: 1, layers: 1 }, { precision: { kind: "uniform", format } }, { tokens: 40 });
    await bench.prompt(40, () => ({ key: flat, value: flat }));
    for (const { key, value } of slotsInPages(await bench.words(), 0, 0)) {
      expectClose(key, flat, tolerances.halfPrecision);
      expectClose(value, flat, tolerances.halfPrecision);
    }
    bench.dispose();
  }
});

test("pinned slots never stand in a sparse format, though it has eight bits", async () => {
  const policy: PolicySpec = { precision: { kind: "tiers", formats: ["k2v2", "k8v8-half", "k8v8"] }, pinned: [[10, 20]] };
  const bench = new CacheBench(gpu, { D: 32, G: 1, group: 1, layers: 1 }, policy, { tokens: 100, budgetBytes: 6_000 });
  await bench.prompt(90);
  const pinned = slotsInPages(await bench.words(), 0, 0).filter(({ position }) => position >= 10 && position < 20);
  expect(pinned.map(({ format }) => format)).toEqual(Array<number>(10).fill(2));
  bench.dispose();
});

function bitsOf(format: FormatName): number {
  return formatByName(format).valueBits;
}

function outlier(D: number, position: number): Float64Array {
  return Float64Array.from({ length: D }, (_, c) => (c === 5 ? 30 : Math.fround(Math.sin(position + 3 * c) / 4)));
}

function minus(x: Float64Array, mean: Float64Array): Float64Array {
  return x.map((value, c) => value - (mean[c] ?? Number.NaN));
}

// encode-slots: codes, scales and what they decode to, against the f64 codec; the bytes that matter are the GPU's own.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FormatName } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { dot, encode, hadamard } from "../reference/codec";
import { meansOf, type StoredSlot, slotsInPages } from "../reference/page-table";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench, type Truth } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

/** Expected relative squared error of Gaussian vectors, by bits: measured by this project's simulation; the range covers head sizes 32 to 128. */
const errorRange = { 8: [1e-5, 5e-5], 4: [0.004, 0.012], 2: [0.11, 0.155] } as const;

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
  for (const format of ["k8v8", "k4v4", "k2v2"] as const) {
    const bench = new CacheBench(gpu, { D: 64, G: 1, group: 1, layers: 1 }, { precision: { kind: "uniform", format } }, { tokens: 40 });
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

function checkPart(slots: readonly StoredSlot[], truth: readonly Truth[], part: "key" | "value", bits: 8 | 4 | 2, mean: Float64Array): void {
  let differ = 0;
  let codes = 0;
  let error = 0;
  let energy = 0;
  for (const slot of slots) {
    const exact = truth[slot.position]?.[part] ?? new Float64Array();
    const centred = exact.map((x, c) => x - (mean[c] ?? 0));
    const coded = part === "key" ? slot.keyCoded : slot.valueCoded;
    const own = encode(hadamard(centred), bits);
    expectClose([coded.scale, coded.zero], [own.scale, own.zero], tolerances.halfPrecision);
    const wanted = encode(hadamard(centred), bits, coded).codes;
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
    if (bits === 2) expectClose([dot(decoded, centred)], [dot(centred, centred)], tolerances.halfPrecision);
  }
  expect(differ).toBeLessThanOrEqual(0.001 * codes);
  expect(error / energy).toBeGreaterThan(errorRange[bits][0]);
  expect(error / energy).toBeLessThan(errorRange[bits][1]);
}

// cache-attention: the whole cache, prompt and tokens after it, read in place, against f64 attention over what it holds,
// and, where nothing is lost, over the exact keys and values.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FormatName, PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import type { Calibration } from "../../src/policy/calibration";
import { half } from "../reference/codec";
import { randomCalibration } from "../reference/random-bases";
import { expectClose, tolerances } from "../tolerances";
import { type BenchShape, CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const smol: BenchShape = { D: 64, G: 3, group: 3 };
const shapes: BenchShape[] = [{ D: 32, G: 2, group: 3 }, smol, { D: 96, G: 1, group: 8 }, { D: 128, G: 2, group: 1 }];
const formats: FormatName[] = ["k16v16", "k8v8", "k8v4", "k4v4", "k4v2", "k2v2"];
const calibrated: FormatName[] = ["k3v2", "k2v2-klt", "k1.5v2", "k1.5v1"];

/** Made once per shape: bases of large heads take seconds. */
const calibrations = new Map<BenchShape, Calibration>();
function calibrationOf(shape: BenchShape): Calibration {
  const { D, G, group } = shape;
  const calibration = calibrations.get(shape) ?? randomCalibration({ L: 2, H: G * group, G, D }, D);
  calibrations.set(shape, calibration);
  return calibration;
}

describe.each(shapes)("D $D, $G kv heads of $group queries", (shape) => {
  test.each([1, 3, 4, 5, 12, 13, 130])("full: a prompt of %d tokens and what follows is exact attention", async (tokens) => {
    const bench = new CacheBench(gpu, shape, "full", { tokens: tokens + 2 });
    await bench.prompt(tokens);
    for (let i = 0; i < 2; i++)
      for (const { got, stored, exact } of await bench.append()) {
        expectClose(got, stored, tolerances.cacheAttention);
        expectClose(got, exact, tolerances.cacheAttention);
      }
    bench.dispose();
  });

  test.each(formats)("every slot in %s", async (format) => {
    const bench = new CacheBench(gpu, shape, { precision: { kind: "uniform", format } }, { tokens: 151 });
    await bench.prompt(150);
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    bench.dispose();
  });

  test.each(calibrated)("every slot in %s, calibrated", async (format) => {
    const bench = new CacheBench(gpu, shape, { precision: { kind: "uniform", format } }, { tokens: 151, calibration: calibrationOf(shape) });
    await bench.prompt(150);
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    bench.dispose();
  });
});

test.each(["full", "uniform-8", "uniform-4"] as const)("%s: page boundaries, one slot before, at and after", async (policy) => {
  const probe = new CacheBench(gpu, smol, policy, { tokens: 200 });
  const slots = probe.cache.plan.layout.slotsPerPage[0] ?? 0;
  probe.dispose();
  const inRing = 4 + 8;
  for (const extra of [-1, 0, 1]) {
    const tokens = inRing + 2 * slots + extra;
    const bench = new CacheBench(gpu, smol, policy, { tokens: tokens + 1 });
    expect(bench.cache.plan.layout.slotsPerPage[0]).toBeGreaterThan(1);
    await bench.prompt(tokens);
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    bench.dispose();
  }
});

test.each(shapes)("a ring in 8 bits, D $D, $G kv heads of $group queries: from no slot in pages on, past several fills of the ring", async (shape) => {
  const long = Float64Array.from({ length: shape.D }, (_, c) => half(30 * Math.sin(c + 1)));
  for (const tokens of [1, 5, 30]) {
    const bench = new CacheBench(gpu, shape, { precision: { kind: "uniform", format: "k4v4" }, ringBits: 8, ring: 6 }, { tokens: tokens + 20 });
    await bench.prompt(tokens, (position) => (position === 2 ? { key: long } : {}));
    for (let i = 0; i < 20; i++)
      for (const { got, stored } of await bench.append((position) => (position === tokens + 9 ? { key: long } : {}), i % 4 < 2))
        expectClose(got, stored, tolerances.cacheAttention);
    bench.dispose();
  }
});

test.each(["full", "uniform-4"] as const)("%s: tokens past several ring fills, from an empty prompt's ring on", async (policy) => {
  const bench = new CacheBench(gpu, smol, policy, { tokens: 60 });
  await bench.prompt(2); // fewer than the sinks: everything else goes through the ring
  for (let i = 2; i < 60; i++)
    for (const { got, stored, exact } of await bench.append(undefined, i % 7 === 0 || i > 57)) {
      expectClose(got, stored, tolerances.cacheAttention);
      if (policy === "full") expectClose(got, exact, tolerances.cacheAttention);
    }
  await expect(bench.append()).rejects.toMatchObject({ code: "CONTEXT_FULL" });
  bench.dispose();
});

test.each(["k8v8", "k1.5v2"] as const)("a key thirty times as long as the others, %s", async (format) => {
  const bench = new CacheBench(gpu, smol, { precision: { kind: "uniform", format } }, { tokens: 101, calibration: calibrationOf(smol) });
  const long = Float64Array.from({ length: 64 }, (_, c) => half(30 * Math.sin(c + 1)));
  await bench.prompt(100, (position) => (position === 50 ? { key: long } : {}));
  for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
  bench.dispose();
});

const budgeted: [string, PolicySpec][] = [
  ["rate-distortion", { precision: { kind: "rate-distortion" }, budget: { kind: "shares" } }],
  ["all six formats", { precision: { kind: "rate-distortion", formats } }],
  ["evict-only", { precision: { kind: "evict-only" } }],
  ["all ten formats", { precision: { kind: "rate-distortion", formats: [...formats, ...calibrated] } }],
];

test.each(budgeted)("%s in three segments of the pool, prompt and ring", async (_, policy) => {
  const tokens = 300;
  const budgetBytes = (2 * tokens * 3 * 64 * 4) / 4;
  const calibration = calibrationOf(smol);
  const bench = new CacheBench(gpu, smol, policy, { tokens, budgetBytes, segmentBytes: budgetBytes / 2, calibration });
  expect(bench.cache.buffers.pool.length).toBe(3);
  await bench.prompt(260);
  for (let i = 0; i < 25; i++) for (const { got, stored } of await bench.append(undefined, i % 8 === 0)) expectClose(got, stored, tolerances.cacheAttention);
  bench.dispose();
});

test.each([
  ["full", 115_000],
  ["uniform-4", 75_000],
] as const)("%s: a segment of the pool is made when its first page is needed, not before", async (policy, segmentBytes) => {
  const bench = new CacheBench(gpu, smol, policy, { tokens: 200, segmentBytes });
  const { buffers } = bench.cache;
  const segments = (): number => buffers.pool.filter(({ size }) => size >= buffers.plan.layout.pageBytes).length;
  expect(buffers.pool.length).toBe(3);
  await bench.prompt(50);
  const bytes = [bench.cache.bytes];
  expect(segments()).toBe(1);
  for (let i = 0; i < 145; i++) {
    for (const { got, stored } of await bench.append(undefined, i % 16 === 0)) expectClose(got, stored, tolerances.cacheAttention);
    if (bench.cache.bytes !== bytes.at(-1)) bytes.push(bench.cache.bytes);
  }
  expect(segments()).toBe(3);
  expect(bytes.length).toBe(3); // grown twice
  bench.dispose();
});

test("more than eight query heads share a kv head", async () => {
  const bench = new CacheBench(gpu, { D: 32, G: 1, group: 9 }, "uniform-8", { tokens: 181 });
  await bench.prompt(180);
  for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
  bench.dispose();
});

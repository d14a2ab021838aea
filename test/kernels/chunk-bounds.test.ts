// chunk-bounds: smallest and largest key of every chunk against f64, after a prompt and while tokens leave the ring, for every format whose keys
// decode by themselves; and that no key scores above its chunk's bound.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { FormatName, PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { dot, half } from "../reference/codec";
import { slotsInPages } from "../reference/page-table";
import { boundScale, boundsOf, questLogit, roundBound } from "../reference/reading";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";
import { readBounds, readQueries } from "./read-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const quest = (format: FormatName, chunk = 16): PolicySpec => ({
  precision: { kind: "uniform", format },
  read: { kind: "quest", tokens: 64, chunk, dense: 0 },
});

async function checkBounds(bench: CacheBench): Promise<void> {
  const words = await bench.words();
  const span = bench.cache.reader?.plan.span ?? 0;
  for (let layer = bench.cache.reader?.plan.dense ?? 0; layer < bench.truth.length; layer++)
    for (let head = 0; head < bench.shape.G; head++) {
      const slots = slotsInPages(words, layer, head);
      const keys = slots.map(({ key }) => key);
      const got = await readBounds(gpu, bench.cache, layer, head, slots.length);
      const want = boundsOf(keys, span);
      expect(got.length).toBe(want.length);
      for (const [i, { least, most }] of got.entries()) {
        const tolerance = bench.cache.reader?.plan.sparse ? tolerances.halfBound : tolerances.byteBound;
        expectClose(least, want[i]?.least ?? [], tolerance);
        expectClose(most, want[i]?.most ?? [], tolerance);
        for (const [c, x] of (want[i]?.least ?? []).entries()) expect(least[c]).toBeLessThanOrEqual(x + 1e-5);
        for (const [c, x] of (want[i]?.most ?? []).entries()) expect(most[c]).toBeGreaterThanOrEqual(x - 1e-5);
      }
      const queries = await readQueries(bench, head);
      for (const [index, key] of keys.entries())
        for (const query of queries) {
          const bound = questLogit(query, got[Math.floor(index / span)] ?? { least: new Float64Array(), most: new Float64Array() });
          expect(dot(query, key) / Math.sqrt(bench.shape.D)).toBeLessThanOrEqual(bound + 1e-5); // coded keys are decoded in f32
        }
    }
}

const rocket = (format: FormatName): PolicySpec => ({ precision: { kind: "uniform", format }, read: { kind: "rocket", tokens: 32 } });

test.each([
  ...(["k16v16", "k8v8", "k4v4", "k4v2", "k2v2"] as const).map((format) => ({ format, kind: "quest", policy: quest(format) })),
  ...(["k16v16", "k4v4"] as const).map((format) => ({ format, kind: "rocket", policy: rocket(format) })),
])("$format, $kind: a prompt, then tokens that leave the ring", async ({ policy }) => {
  const bench = new CacheBench(gpu, { D: 64, G: 3, group: 3 }, policy, { tokens: 130 });
  await bench.prompt(100);
  await checkBounds(bench);
  for (let i = 0; i < 30; i++) await bench.append(undefined, i > 28);
  await checkBounds(bench);
  bench.dispose();
});

test.each([
  { D: 32, G: 2, group: 1, chunk: 3 },
  { D: 96, G: 1, group: 8, chunk: 16 },
  { D: 128, G: 2, group: 2, chunk: 1 },
  { D: 64, G: 1, group: 2, chunk: 40 },
])("D $D, chunks of $chunk: one slot before, at and after a chunk's end", async ({ chunk, ...shape }) => {
  for (const slots of [chunk - 1, chunk, chunk + 1, 3 * chunk, 3 * chunk + 1]) {
    const bench = new CacheBench(gpu, { ...shape, layers: 1 }, quest("k8v8", chunk), { tokens: slots + 14 });
    await bench.prompt(slots + 12); // four sinks and eight in the ring
    await bench.append();
    await checkBounds(bench);
    bench.dispose();
  }
});

test("a policy that evicts: every judgement moves slots, and the bounds follow", async () => {
  const bench = new CacheBench(
    gpu,
    { D: 32, G: 2, group: 2, layers: 3 },
    { precision: { kind: "evict-only" }, read: { kind: "quest", tokens: 48, chunk: 4, dense: 1 } },
    { tokens: 170, budgetBytes: (3 * 170 * 2 * 32 * 4) / 3 },
  );
  await bench.prompt(120, (position) => (position === 50 ? { key: Float64Array.from({ length: 32 }, (_, c) => half(30 * Math.sin(c + 1))) } : {}));
  await checkBounds(bench);
  for (let i = 0; i < 40; i++) await bench.append(undefined, i > 38);
  await checkBounds(bench);
  bench.dispose();
});

test("bounds in 8 bits are f64's, channels of very different sizes, none at all among them", async () => {
  const size = (c: number): number => (c % 8 === 7 ? 0 : 30 / 2 ** (c % 8));
  const bench = new CacheBench(gpu, { D: 64, G: 1, group: 1, layers: 1 }, quest("k16v16", 8), { tokens: 130 });
  await bench.prompt(100, (position) => ({
    key: Float64Array.from({ length: 64 }, (_, c) => half(position < 40 ? 0 : size(c) * Math.sin(position * (c + 1)))),
  }));
  await bench.append();
  const keys = slotsInPages(await bench.words(), 0, 0).map(({ key }) => key);
  const got = await readBounds(gpu, bench.cache, 0, 0, keys.length);
  for (const [i, bounds] of boundsOf(keys, 8).entries()) {
    const scale = boundScale(bounds);
    // f32 may take the next code where a key is within 1e-6 of one: no bound is wider than that.
    const next = (x: number, upper: boolean): number => roundBound(x + (upper ? 2e-6 : -2e-6) * (Math.abs(x) + scale), scale, upper);
    for (const [c, x] of bounds.least.entries()) expect([roundBound(x, scale, false), next(x, false)]).toContain((got[i]?.least[c] ?? Number.NaN) + 0);
    for (const [c, x] of bounds.most.entries()) expect([roundBound(x, scale, true), next(x, true)]).toContain((got[i]?.most[c] ?? Number.NaN) + 0);
  }
  bench.dispose();
});

// chunk-bounds: smallest and largest key of every chunk against f64, after a prompt and while tokens leave the ring, for every format whose keys
// decode by themselves; and that no key scores above its chunk's bound.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { FormatName, PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { dot, half } from "../reference/codec";
import { slotsInPages } from "../reference/page-table";
import { boundsOf, questLogit } from "../reference/reading";
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
        expectClose(least, want[i]?.least ?? [], tolerances.halfBound);
        expectClose(most, want[i]?.most ?? [], tolerances.halfBound);
      }
      const queries = await readQueries(bench, head);
      for (const [index, key] of keys.entries())
        for (const query of queries) {
          const bound = questLogit(query, got[Math.floor(index / span)] ?? { least: new Float64Array(), most: new Float64Array() });
          expect(dot(query, key) / Math.sqrt(bench.shape.D)).toBeLessThanOrEqual(bound + 1e-5); // coded keys are decoded in f32
        }
    }
}

test.each(["k16v16", "k8v8", "k4v4", "k4v2", "k2v2"] as const)("%s: a prompt, then tokens that leave the ring", async (format) => {
  const bench = new CacheBench(gpu, { D: 64, G: 3, group: 3 }, quest(format), { tokens: 130 });
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

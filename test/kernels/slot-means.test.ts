// slot-means: what codes are centred on, over a prompt's tokens past the sinks or over the first full ring.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { type CacheWords, meansOf } from "../reference/page-table";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([
  [32, 2, 13],
  [64, 3, 14],
  [96, 1, 150],
  [128, 2, 97],
])("head size %d, %d kv heads, a prompt of %d", async (D, G, tokens) => {
  const bench = new CacheBench(gpu, { D, G, group: 1 }, "uniform-4", { tokens: tokens + 20 });
  await bench.prompt(tokens);
  await expectMeans(bench, 4, tokens);
  const before = allMeans(await bench.words());
  for (let i = 0; i < 20; i++) await bench.append(undefined, false);
  expect(allMeans(await bench.words())).toEqual(before); // fixed for the session
  bench.dispose();
});

test("a prompt that fits sinks and ring: means of what a layer's ring holds at its first turn", async () => {
  const bench = new CacheBench(gpu, { D: 64, G: 2, group: 1 }, "uniform-8", { tokens: 40 });
  await bench.prompt(6);
  for (let i = 6; i < 40; i++) await bench.append(undefined, false);
  await expectMeans(bench, 4, 16, 20); // two layers take turns: before tokens 16 and 20, when more than half of the ring is taken
  bench.dispose();
});

/** Means of positions first to end - 1; one end for all layers, or each its own. */
async function expectMeans(bench: CacheBench, first: number, ...ends: number[]): Promise<void> {
  const words = await bench.words();
  bench.truth.forEach((heads, layer) => {
    heads.forEach((rows, head) => {
      const span = rows.slice(first, ends[layer] ?? ends[0]);
      const [key, value] = meansOf(words, layer, head);
      const mean = (part: "key" | "value"): Float64Array =>
        Float64Array.from({ length: bench.shape.D }, (_, c) => span.reduce((sum, row) => sum + (row[part][c] ?? 0), 0) / span.length);
      expectClose(key, mean("key"), tolerances.halfPrecision);
      expectClose(value, mean("value"), tolerances.halfPrecision);
    });
  });
}

function allMeans(words: CacheWords): Float64Array[] {
  const { layers, kvHeads } = words.plan.shape;
  return Array.from({ length: layers * kvHeads }, (_, n) => meansOf(words, Math.floor(n / kvHeads), n % kvHeads)).flat();
}

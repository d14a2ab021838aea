// attention-merge: many units of mixed formats add up to one softmax, whatever the order of slots; means and rotation undone.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { slotsInPages } from "../reference/page-table";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test("600 tokens in four formats: raw and coded values in several units of each head", async () => {
  const [D, G] = [64, 2];
  const bench = new CacheBench(
    gpu,
    { D, G, group: 3, layers: 1 },
    { precision: { kind: "rate-distortion", formats: ["k2v2", "k4v4", "k8v8", "k16v16"] } },
    { tokens: 601, budgetBytes: 2 * 600 * G * D * 2 * 0.3 },
  );
  await bench.prompt(600);
  const [result] = await bench.append();
  if (!result) throw new Error("No layer answered.");
  expectClose(result.got, result.stored, tolerances.attention);
  const words = await bench.words();
  for (let head = 0; head < G; head++) {
    const slots = slotsInPages(words, 0, head);
    expect(slots.length).toBeGreaterThan(2 * bench.cache.plan.geometry.unit);
    expect(new Set(slots.map(({ format }) => format)).size).toBeGreaterThanOrEqual(3);
  }
  bench.dispose();
});

test("a ring longer than one unit", async () => {
  const bench = new CacheBench(gpu, { D: 32, G: 1, group: 2, layers: 1 }, { precision: { kind: "uniform", format: "k8v8" }, ring: 300 }, { tokens: 500 });
  await bench.prompt(400);
  for (let i = 0; i < 100; i++) {
    const results = await bench.append(undefined, i % 33 === 0);
    for (const { got, stored } of results) expectClose(got, stored, tolerances.attention);
  }
  bench.dispose();
});

test("logits so far apart that one slot takes everything", async () => {
  const bench = new CacheBench(gpu, { D: 32, G: 1, group: 1, layers: 1 }, "full", { tokens: 301 });
  await bench.prompt(300, (position) => (position === 200 ? { key: new Float64Array(32).fill(400) } : {}));
  for (const { got, exact } of await bench.append()) expectClose(got, exact, tolerances.sharpAttention);
  bench.dispose();
});

// prefer-pages: CAKE's cascade in whole pages: what the layers so far get in proportion to what they ask for, layer by layer, against the reference.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { bindPreferPages } from "../../src/kernels/prefer-pages";
import { cakeCascade } from "../reference/budgets";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const LAYERS = 6;
const G = 2;

/** Budgets after each layer, as the kernel leaves them. */
async function cascade(preferences: readonly number[], { pages, most, heads }: { pages: number; most: number; heads: "uniform" | "ada" }): Promise<number[][]> {
  const policy: PolicySpec = { score: { kind: "snapkv" }, budget: { kind: "cake", heads }, precision: { kind: "evict-only" } };
  const bench = new CacheBench(gpu, { D: 16, G, group: 1, layers: LAYERS }, policy, { tokens: 400, budgetBytes: 60_000 });
  const { plan, buffers } = bench.cache;
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const share = gpu.createBuffer("test.share", 32, "scratch", { usage });
  const given = gpu.createBuffer("test.preferences", LAYERS * 4, "scratch");
  gpu.write(given, 0, Float32Array.from(preferences));
  const op = bindPreferPages(gpu, plan.geometry, { info: buffers.info, share, preferences: given, tables: buffers.tables });
  await gpu.kernels.ready();
  const steps: number[][] = [];
  for (let seen = 1; seen <= LAYERS; seen++) {
    gpu.write(share, 0, new Uint32Array([seen, pages, most, plan.tableStride]));
    const recorder = gpu.record();
    op.record(recorder);
    recorder.submit();
    const { tables } = await bench.words();
    steps.push(Array.from({ length: seen }, (_, layer) => tables[layer * plan.tableStride]!));
  }
  for (const buffer of [share, given]) gpu.destroyBuffer(buffer);
  bench.dispose();
  return steps;
}

test.each([
  ["layers that ask for different parts", [5, 1, 3, 0.5, 2, 8], { pages: 120, most: 120, heads: "ada" }],
  ["a layer that asks for more than it may have", [1, 1, 400, 2, 1, 3], { pages: 90, most: 40, heads: "ada" }],
  ["heads that share evenly", [5, 1, 3, 0.5, 2, 8], { pages: 121, most: 121, heads: "uniform" }],
  ["preferences of any size", [5e-9, 1e-9, 3e-9, 5e-10, 2e-9, 8e-9], { pages: 120, most: 120, heads: "ada" }],
] as const)("%s", async (_, preferences, { pages, most, heads }) => {
  const got = await cascade(preferences, { pages, most, heads });
  const unit = heads === "uniform" ? G : 1;
  const wanted = cakeCascade(preferences, pages, most);
  got.forEach((budgets, step) => {
    expect(budgets.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(pages);
    budgets.forEach((budget, layer) => {
      expect(budget % unit).toBe(0);
      expect(budget).toBeGreaterThanOrEqual(G);
      expect(budget).toBeLessThanOrEqual(most);
      if (step > layer) expect(budget, "no layer ever grows").toBeLessThanOrEqual(got[step - 1]![layer]!);
      // Whole units, and the page a head that every layer keeps, which the others pay.
      expect(Math.abs(budget - Math.max(G, wanted[step]![layer]!))).toBeLessThanOrEqual(unit + 2);
    });
  });
});

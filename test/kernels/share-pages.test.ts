// share-pages, importance-levels: one threshold of importance over all layers and heads of a prompt, within the pages there are.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { dynamicBudget, globalBlocks } from "../reference/budgets";
import { pageLists, slotsInPages } from "../reference/page-table";
import { gaussian, seeded } from "../reference/scoring-case";
import { CacheBench } from "./cache-bench";
import { checkPages, checkTokens, slotFormats } from "./cache-checks";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const LAYERS = 5;
const G = 2;
const LEVEL = 2 ** (1 / 64); // a threshold is found to one level

/** Layers whose importance differs: each head draws around a mean of its own. */
async function prompted(policy: PolicySpec, tokens: number, budgetBytes: number): Promise<CacheBench> {
  const bench = new CacheBench(gpu, { D: 16, G, group: 1, layers: LAYERS }, policy, { tokens: tokens + 20, budgetBytes });
  const normal = gaussian(seeded(3));
  const means = Array.from({ length: LAYERS * G }, (_, n) => 2 ** -(10 + (n % 4)));
  let calls = 0;
  await bench.prompt(tokens, () => ({ importance: Math.fround(means[calls++ % (LAYERS * G)]! * Math.exp(normal())) }));
  return bench;
}

test("DynamicKV: layers share by the scores they hold, the heads of a layer evenly", async () => {
  const bench = await prompted({ score: { kind: "ensemble" }, budget: { kind: "dynamic" }, precision: { kind: "evict-only" } }, 300, 60_000);
  const words = await bench.words();
  const { plan } = bench.cache;
  const slotsPerPage = plan.layout.slotsPerPage[0]!;
  const lists = Array.from({ length: LAYERS }, (_, layer) => pageLists(words, layer));
  lists.forEach((heads, layer) => {
    const budget = words.tables[layer * plan.tableStride]!;
    expect(budget % G, "no page that the heads cannot share").toBe(0);
    for (const { length, pages } of heads) {
      expect(pages.length).toBeLessThanOrEqual(Math.floor(budget / G));
      // Slots judged again that are of one stored level go together, so that a slot or two may be missing.
      expect(length).toBeGreaterThanOrEqual(Math.min(288, Math.floor(budget / G) * slotsPerPage) - 2);
    }
  });
  const base = (sharedPages(bench) * slotsPerPage) / (LAYERS * G);
  const scores = bench.truth.map((layer) => layer.flatMap((rows) => rows.slice(4, 292).map(({ importance }) => importance)));
  const wanted = dynamicBudget(scores, G, { base, every: LAYERS, most: bench.policy.budget.slack });
  expect(Math.max(...wanted) - Math.min(...wanted), "layers that differ").toBeGreaterThan(4 * slotsPerPage);
  wanted.forEach((slots, layer) => {
    const got = (words.tables[layer * plan.tableStride]! / G) * slotsPerPage;
    expect(Math.abs(got - slots), `layer ${layer}: ${got} slots a head, not ${slots}`).toBeLessThanOrEqual(slotsPerPage); // whole pages, as many in every head
  });
  bench.dispose();
});

test("KV-Compress: blocks fall free, the cheapest first, wherever they are", async () => {
  const bench = await prompted({ score: { kind: "ensemble" }, budget: { kind: "global" }, precision: { kind: "evict-only" } }, 300, 60_000);
  const words = await bench.words();
  const { plan } = bench.cache;
  const slotsPerPage = plan.layout.slotsPerPage[0]!;
  const metrics = bench.truth.flatMap((layer) => layer.map((rows) => rows.slice(4, 292).map(({ importance }) => importance)));
  const all = metrics.reduce((sum, row) => sum + Math.ceil(row.length / slotsPerPage), 0);
  const evicted = globalBlocks(
    metrics.map((row) => ({ metrics: row })),
    slotsPerPage,
    all - sharedPages(bench),
  );
  metrics.forEach((row, n) => {
    const [layer, head] = [Math.floor(n / G), n % G];
    const left = row.length - evicted[n]!.length;
    expect(pageLists(words, layer)[head]?.pages.length, `layer ${layer}, head ${head}`).toBe(Math.ceil(left / slotsPerPage));
    const kept = slotsInPages(words, layer, head).map(({ position }) => position - 4);
    expect(kept.filter((slot) => evicted[n]!.includes(slot))).toEqual([]);
    expect(left - kept.length, "those judged again that are of one stored level").toBeLessThanOrEqual(2);
  });
  bench.dispose();
});

test("two formats: the lowest threshold whose pages fit, in every layer", async () => {
  const policy: PolicySpec = { score: { kind: "ensemble" }, budget: { kind: "global" }, precision: { kind: "tiers", formats: ["k2v2", "k4v4"] } };
  const tokens = 300;
  const bench = await prompted(policy, tokens, 24_000);
  const { plan } = bench.cache;
  const words = await bench.words();
  const heads = bench.truth.map((layer) => layer.map((rows) => rows.slice(4, tokens - 8).map(({ importance }) => importance)));
  const pagesAt = (threshold: number, layer: readonly (readonly number[])[]): number =>
    Math.min(
      plan.maxPages,
      layer.reduce((sum, scores) => sum + Math.max(1, pagesOf(scores, threshold, bench)), 0),
    );
  const total = (threshold: number): number => heads.reduce((sum, layer) => sum + pagesAt(threshold, layer), 0);
  const threshold = heads
    .flat(2)
    .sort((a, b) => a - b)
    .find((candidate) => total(candidate) <= plan.totalPages)!;
  expect(total(threshold / 4), "a case where something must go").toBeGreaterThan(plan.totalPages);

  const budgets = heads.map((_, layer) => words.tables[layer * plan.tableStride]!);
  expect(budgets.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(plan.totalPages);
  expect(Math.max(...budgets) - Math.min(...budgets), "layers that differ").toBeGreaterThan(3);
  budgets.forEach((budget, layer) => {
    expect(budget, `layer ${layer}`).toBeGreaterThanOrEqual(pagesAt(threshold * LEVEL * LEVEL, heads[layer]!));
    expect(words.tables[layer * plan.tableStride + 1]!).toBeLessThanOrEqual(budget);
  });
  // Whatever is dropped lies below the threshold.
  let least = Number.POSITIVE_INFINITY;
  for (let layer = 0; layer < LAYERS; layer++)
    for (let head = 0; head < G; head++) {
      const kept = new Set(bench.slots(words, layer, head).map(({ position }) => position));
      bench.truth[layer]![head]!.forEach(({ importance }, position) => {
        if (!kept.has(position)) least = Math.max(least === Number.POSITIVE_INFINITY ? 0 : least, importance);
      });
    }
  expect(least).toBeLessThan(threshold * LEVEL * LEVEL);
  expect(least).toBeGreaterThan(threshold / 2);
  bench.dispose();
});

test("no page is lost or owned twice, and decoding goes on within the budgets", async () => {
  const bench = await prompted({ score: { kind: "ensemble" }, budget: { kind: "global", slack: 2 }, precision: { kind: "evict-only" } }, 200, 20_000);
  for (let i = 0; i < 18; i++) await bench.append(undefined, false);
  const words = await bench.words();
  const { plan } = bench.cache;
  const taken = Array.from({ length: LAYERS }, (_, layer) => pageLists(words, layer).flatMap(({ pages }) => pages));
  taken.forEach((pages, layer) => {
    expect(pages.length).toBe(words.tables[layer * plan.tableStride + 1]);
    expect(pages.length).toBeLessThanOrEqual(words.tables[layer * plan.tableStride]!);
    expect(words.tables[layer * plan.tableStride]!).toBeLessThanOrEqual(plan.maxPages);
  });
  const [head = 0, tail = 0, capacity = 1, error] = words.free;
  expect(error).toBe(0);
  const free = Array.from({ length: tail - head }, (_, i) => words.free[4 + ((head + i) % capacity)]!);
  expect([...taken.flat(), ...free].sort((a, b) => a - b)).toEqual(Array.from({ length: plan.totalPages }, (_, page) => page));
  bench.dispose();
});

test.each(["cake", "global", "dynamic"] as const)("%s: a layer that is worth little has room for what is pinned, in the prompt and after it", async (kind) => {
  const pinned: readonly (readonly [number, number])[] = [
    [10, 20],
    [70, 90],
  ];
  const policy: PolicySpec = { score: { kind: "snapkv" }, budget: { kind }, precision: { kind: "evict-only" }, pinned };
  const bench = new CacheBench(gpu, { D: 32, G, group: 1, layers: 3 }, policy, { tokens: 110, budgetBytes: 46_000 });
  let calls = 0;
  await bench.prompt(60, () => ({ importance: calls++ % (3 * G) < 2 * G ? 1e-8 : 1 }));
  for (let i = 0; i < 50; i++) await bench.append(() => ({ importance: 1e-8 }), false);
  const words = await bench.words();
  checkPages(words);
  checkTokens(words, slotFormats(words), 110);
  for (let layer = 0; layer < 3; layer++)
    for (let head = 0; head < G; head++) {
      const kept = slotsInPages(words, layer, head).map(({ position }) => position);
      for (const [start, end] of pinned) expect(kept.filter((position) => position >= start && position < end)).toHaveLength(end - start);
    }
  bench.dispose();
});

/** Pages of a head whose slots get the best format that their importance reaches. */
function pagesOf(scores: readonly number[], threshold: number, { policy, cache }: CacheBench): number {
  const { thresholds } = policy;
  return thresholds.reduce((sum, from, format) => {
    const next = thresholds[format + 1] ?? Number.POSITIVE_INFINITY;
    const slots = scores.filter((score) => score >= (threshold * from) / thresholds[0]! && score < (threshold * next) / thresholds[0]!).length;
    return sum + Math.ceil(slots / cache.plan.layout.slotsPerPage[format]!);
  }, 0);
}

/** Pages that a prompt's layers share: what a judgement leaves free of them is no part of that. */
function sharedPages({ cache: { plan } }: CacheBench): number {
  return plan.totalPages - plan.headroom.reduce((sum, { pages }) => sum + pages, 0);
}

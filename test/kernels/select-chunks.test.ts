// select-chunks: the chunks that are read against f64's choice, attention over them, and the counts of what was read.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { attend } from "../reference/cache-attention";
import { half } from "../reference/codec";
import { slotsInPages, slotsInRing } from "../reference/page-table";
import { meanCosine } from "../reference/reading";
import { gaussian, seeded } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { type BenchOptions, type BenchShape, CacheBench } from "./cache-bench";
import { checkBytes } from "./cache-checks";
import { testGpu } from "./gpu";
import { chooseByHand, expectChosen, readQueries, readSelections } from "./read-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const smol: BenchShape = { D: 64, G: 3, group: 3 };
type Read = NonNullable<PolicySpec["read"]>;
const full = (read: Read): PolicySpec => ({ precision: { kind: "uniform", format: "k16v16" }, read });
const quest: Read = { kind: "quest", tokens: 20 + 5 * 4, chunk: 4, dense: 0 };

/** One more token in a cache of one layer: its choice is f64's, and its output attention over just that. */
async function checkStep(bench: CacheBench): Promise<void> {
  const { D, G, group } = bench.shape;
  const [result] = await bench.append();
  const words = await bench.words();
  const [selections = []] = await readSelections(gpu, bench.cache);
  for (let head = 0; head < G; head++) {
    const slots = slotsInPages(words, 0, head);
    const queries = await readQueries(bench, head);
    const { chunks = [], slots: chosen = [] } = selections[head] ?? {};
    expectChosen(chunks, chooseByHand(bench, slots, queries));
    const read = [...slotsInRing(words, 0, head, bench.cache.tokens, bench.cache.ringStart(0)), ...slots.filter((_, index) => chosen.includes(index))];
    for (const [h, query] of queries.entries()) {
      const at = (head * group + h) * D;
      expectClose(result?.got.subarray(at, at + D) ?? [], attend(query, read), tolerances.cacheAttention);
    }
  }
}

async function benchOf(shape: BenchShape, read: Read, prompt: number, options: Partial<BenchOptions> = {}, policy = full(read)): Promise<CacheBench> {
  const bench = new CacheBench(gpu, { layers: 1, ...shape }, policy, { tokens: prompt + 40, ...options });
  await bench.prompt(prompt);
  return bench;
}

describe.each([smol, { D: 32, G: 2, group: 1 }, { D: 128, G: 1, group: 8 }])("D $D, $G kv heads of $group", (shape) => {
  test.each([12, 13, 31, 32, 33, 200])("quest after a prompt of %d", async (prompt) => {
    const bench = await benchOf(shape, quest, prompt);
    await checkStep(bench);
    for (let i = 0; i < 20; i++) await bench.append(undefined, false);
    await checkStep(bench);
    bench.dispose();
  });

  test.each([40, 300])("hybrid sparse attention after a prompt of %d", async (prompt) => {
    const bench = await benchOf(shape, { kind: "rocket", tokens: 64 }, prompt);
    expect(bench.cache.reader?.plan.sparse).toBe(true);
    await checkStep(bench);
    for (let i = 0; i < 20; i++) await bench.append(undefined, false);
    await checkStep(bench);
    bench.dispose();
  });
});

test("more slots than a unit of attention takes, and a chunk that stands out is among them", async () => {
  const bench = await benchOf(smol, { kind: "quest", tokens: 400, chunk: 16, dense: 0 }, 900);
  await checkStep(bench);
  bench.dispose();
});

test.each(["uniform-8", "uniform-4"] as const)("%s", async (policy) => {
  const format = policy === "uniform-8" ? "k8v8" : "k4v4";
  const bench = await benchOf(smol, quest, 150, {}, { precision: { kind: "uniform", format }, read: quest });
  await checkStep(bench);
  bench.dispose();
});

test("evicting, in three segments of the pool; bytes within the budget, bounds and selections among them", async () => {
  const budgetBytes = (300 * 3 * 64 * 4) / 3;
  const read: Read = { kind: "quest", tokens: 60, chunk: 4, dense: 0 };
  const policy: PolicySpec = { precision: { kind: "evict-only" }, read };
  const whole = new CacheBench(gpu, { ...smol, layers: 1 }, policy, { tokens: 300, budgetBytes });
  const { totalPages, layout } = whole.cache.plan;
  whole.dispose();
  const bench = await benchOf(smol, read, 260, { budgetBytes, segmentBytes: Math.ceil(totalPages / 3) * layout.pageBytes }, policy);
  expect(bench.cache.buffers.pool.length).toBe(3);
  for (let i = 0; i < 10; i++) await checkStep(bench);
  checkBytes(bench.cache, budgetBytes);
  bench.dispose();
});

test("everything selected is full attention", async () => {
  const bench = await benchOf(smol, { kind: "quest", tokens: 4096, chunk: 16, dense: 0 }, 250);
  for (let i = 0; i < 10; i++) for (const { got, exact } of await bench.append()) expectClose(got, exact, tolerances.cacheAttention);
  bench.dispose();
});

test("dense layers read everything, the others do not", async () => {
  const bench = await benchOf({ ...smol, layers: 3 }, { ...quest, dense: 2 }, 200);
  const [first, second, third] = await bench.append();
  for (const layer of [first, second]) expectClose(layer?.got ?? [], layer?.exact ?? [], tolerances.cacheAttention);
  expect(() => expectClose(third?.got ?? [], third?.exact ?? [], tolerances.cacheAttention)).toThrow();
  bench.dispose();
});

test("an outlier's chunk is read by every query that points at it", async () => {
  const key = Float64Array.from({ length: 32 }, () => half(9));
  const bench = new CacheBench(gpu, { D: 32, G: 2, group: 1, layers: 1 }, full(quest), { tokens: 200 });
  await bench.prompt(150, (position) => (position === 77 ? { key } : {}));
  let seen = 0;
  for (let i = 0; i < 12; i++) {
    await bench.append();
    const [query = new Float64Array()] = await readQueries(bench, 0);
    const [[selected] = []] = await readSelections(gpu, bench.cache);
    if (query.reduce((sum, q) => sum + q, 0) < 6) continue;
    seen++;
    expect(selected?.slots).toContain(77 - 4); // slots in pages begin after the sinks
  }
  expect(seen).toBeGreaterThan(0);
  bench.dispose();
});

test("counts: slots read, chunks scored, choices made", async () => {
  const bench = await benchOf({ D: 32, G: 2, group: 1 }, quest, 100);
  let [read, scored] = [0, 0];
  for (let i = 0; i < 15; i++) {
    await bench.append();
    const [[selected] = []] = await readSelections(gpu, bench.cache);
    read += selected?.slots.length ?? 0;
    scored += Math.ceil(slotsInPages(await bench.words(), 0, 0).length / 4);
    expect(selected).toMatchObject({ read, scored, steps: i + 1, chosen: i + 1 });
  }
  bench.dispose();
});

test("a selection is used again while the mean cosine of a group's queries with those that chose is .85 or more", async () => {
  const [D, G, group, limit] = [32, 2, 2, 0.85];
  const bench = await benchOf({ D, G, group }, { ...quest, reselect: limit }, 100);
  const random = gaussian(seeded(5));
  const start = Array.from({ length: G * group }, () => Float64Array.from({ length: D }, random));
  // Cosines of a head's two queries with those that chose last, a kv head a row: on either side of .85 on average, not one by one.
  // biome-ignore format: a row a step
  const steps = [
    [[0.86, 0.85], [0.84, 0.85]],
    [[0.99, 0.72], [0.97, 0.72]],
    [[0.71, 0.98], [0.99, 0.73]],
    [[1, 1], [1, 1]], // the ring's compression changes the pages meanwhile
    [[0.852, 0.852], [0.848, 0.848]],
  ];
  let chose = [...start];
  const counts = [0, 0];
  for (const cosines of [undefined, ...steps]) {
    const queries = start.map((_, h) => (cosines ? turned(chose[h]!, cosines[Math.floor(h / group)]![h % group]!, random) : start[h]!));
    const ringStart = bench.cache.ringStart(0);
    await bench.append(undefined, Float32Array.from(queries.flatMap((query) => [...query])));
    const [selections = []] = await readSelections(gpu, bench.cache);
    for (let head = 0; head < G; head++) {
      const [now, before] = [queries, chose].map((all) => all.slice(head * group, (head + 1) * group)) as [typeof start, typeof start];
      if (cosines === undefined || bench.cache.ringStart(0) > ringStart || meanCosine(now, before) < limit) {
        counts[head]! += 1;
        chose = chose.map((query, h) => (Math.floor(h / group) === head ? queries[h]! : query));
      }
      expect(selections[head]?.chosen, `head ${head} at ${JSON.stringify(cosines)}`).toBe(counts[head]);
    }
  }
  expect(counts).toEqual([3, 5]); // of six
  bench.dispose();
});

test("a selection is used again where queries point the same way, unless the pages changed", async () => {
  const always = await benchOf({ D: 32, G: 2, group: 1 }, { ...quest, reselect: -1 }, 100); // any cosine will do
  const never = await benchOf({ D: 32, G: 2, group: 1 }, { ...quest, reselect: 1 }, 100); // no random query is parallel
  for (let i = 0; i < 9; i++) for (const bench of [always, never]) await bench.append();
  const [[some] = []] = await readSelections(gpu, always.cache);
  const [[all] = []] = await readSelections(gpu, never.cache);
  expect(all).toMatchObject({ steps: 9, chosen: 9 });
  expect(some?.steps).toBe(9);
  expect(some?.chosen).toBe(2); // at first, and after the ring's compression
  expect(some?.scored).toBeLessThan(all?.scored ?? 0);
  for (const bench of [always, never]) bench.dispose();
});

/** Some vector of another length, at this cosine with the one given. */
function turned(query: Float64Array, cosine: number, random: () => number): Float64Array<ArrayBuffer> {
  const size = (x: Float64Array): number => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));
  const unit = query.map((value) => value / size(query));
  const other = query.map(random);
  const along = other.reduce((sum, value, c) => sum + value * unit[c]!, 0);
  const across = other.map((value, c) => value - along * unit[c]!);
  return query.map((_, c) => 3 * (cosine * unit[c]! + (Math.sqrt(1 - cosine ** 2) * across[c]!) / size(across)));
}

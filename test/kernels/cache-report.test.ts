// cache-report: map and usage against what the f64 reader finds in the same buffers.

import { afterAll, beforeAll, expect, test } from "vitest";
import { readCache, readMap, readUsage } from "../../src/cache/cache-report";
import { ALL_FORMATS, slotWords } from "../../src/cache/formats";
import { ringRowWords } from "../../src/cache/page-layout";
import type { PolicySpec, PresetName } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { slotsInPages, slotsInRing } from "../reference/page-table";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";
import { readSelections } from "./read-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const cases: [string, PresetName | PolicySpec, number | undefined][] = [
  ["full", "full", undefined],
  ["rate-distortion", "rate-distortion", undefined],
  // C13 of the study of kvpress: what a method by thresholds drops is what is found missing, not what it aimed at.
  ["tiers by thresholds", "diffkv", undefined],
  ["three thresholds", { precision: { kind: "agacc", thresholds: [0.3, 0.8, 1.5] } }, undefined],
  ["evict-only in segments", { precision: { kind: "evict-only" } }, 8000],
];

test.each(cases)("%s: every slot once, sorted, with its format; bytes by format; evicted ones counted", async (_, policy, segmentBytes) => {
  const [D, G, tokens] = [32, 2, 170];
  const budgetBytes = 0.25 * 2 * tokens * G * D * 4;
  const bench = new CacheBench(gpu, { D, G, group: 1 }, policy, { tokens, budgetBytes, ...(segmentBytes ? { segmentBytes } : {}) });
  if (segmentBytes) expect(bench.cache.buffers.pool.length).toBe(3);
  await bench.prompt(150);
  for (let i = 0; i < 20; i++) await bench.append(undefined, false);
  const { map, bytesByFormat, slotsKept, slotsEvicted } = await readCache(gpu, bench.cache);
  const words = await bench.words();
  const expected: Record<string, number> = Object.fromEntries(bench.policy.formats.map(({ name }) => [name, 0]));
  let kept = 0;
  map.layers.forEach(({ heads }, layer) => {
    heads.forEach(({ positions, format }, head) => {
      const slots = bench.slots(words, layer, head).sort((a, b) => a.position - b.position);
      const names = slots.map((slot) => (slot.format < 0 ? (bench.policy.ringBits === 8 ? "k8v8" : "k16v16") : bench.policy.formats[slot.format]?.name));
      expect([...positions]).toEqual(slots.map(({ position }) => position));
      expect([...format].map((index) => map.formats[index])).toEqual(names);
      for (const slot of slots) {
        const of = bench.policy.formats[slot.format];
        const name = of?.name ?? "ring";
        expected[name] = (expected[name] ?? 0) + (of ? 4 * slotWords(of, D) : 8 * ringRowWords(D, bench.policy.ringBits));
      }
      kept += slots.length;
    });
  });
  expect(map.tokens).toBe(tokens);
  expect(map.formats).toEqual(ALL_FORMATS.map(({ name }) => name));
  expect(bytesByFormat).toEqual(expected);
  expect(slotsKept).toBe(kept);
  expect(slotsEvicted).toBe(2 * G * tokens - kept);
  if (policy === "full") expect(slotsEvicted).toBe(0);
  else expect(slotsEvicted).toBeGreaterThan(0);
  bench.dispose();
});

test("markers: spans in order that hold every evicted position once, as many as their counts say; none where the policy has none", async () => {
  const [D, G, tokens] = [32, 2, 220];
  const budgetBytes = 0.25 * 2 * tokens * G * D * 4;
  const bench = new CacheBench(gpu, { D, G, group: 1 }, { precision: { kind: "evict-only" }, markers: { count: 5 }, guests: 2 }, { tokens, budgetBytes });
  await bench.prompt(150);
  for (let i = 0; i < 70; i++) await bench.append(undefined, false);
  const map = await readMap(gpu, bench.cache);
  for (const { positions, markers = [] } of map.layers.flatMap(({ heads }) => heads)) {
    const kept = new Set(positions);
    expect(markers.length).toBe(5);
    for (const [index, { first, end, count }] of markers.entries()) {
      const evicted = Array.from({ length: end - first }, (_, i) => first + i).filter((position) => !kept.has(position));
      expect(evicted.length).toBe(count);
      expect(evicted[0]).toBe(first);
      expect(end).toBe(markers[index + 1]?.first ?? end);
    }
    expect(markers.reduce((sum, { count }) => sum + count, 0)).toBe(tokens - positions.length);
  }
  bench.dispose();
  const without = new CacheBench(gpu, { D, G, group: 1 }, { precision: { kind: "evict-only" } }, { tokens, budgetBytes });
  await without.prompt(150);
  expect((await readMap(gpu, without.cache)).layers[0]?.heads[0]?.markers).toBeUndefined();
  without.dispose();
});

test.each([
  ["everything", { precision: { kind: "uniform", format: "k8v8" } }],
  ["quest", { precision: { kind: "uniform", format: "k8v8" }, read: { kind: "quest", tokens: 40, chunk: 4, dense: 1 } }],
  ["rocket", { precision: { kind: "uniform", format: "k8v8" }, read: { kind: "rocket", tokens: 64 } }],
] as const)("bytes read a token, counted by hand from what was chosen: %s", async (_, policy) => {
  const [D, G] = [32, 2];
  const bench = new CacheBench(gpu, { D, G, group: 1 }, policy, { tokens: 130 });
  await bench.prompt(120);
  const { reader } = bench.cache;
  let selected = 0;
  const steps = 5;
  for (let i = 0; i < steps; i++) {
    await bench.append();
    if (!reader) continue;
    const { span, dense, channels, sparse } = reader.plan;
    const words = await bench.words();
    const chosen = await readSelections(gpu, bench.cache);
    for (const [index, heads] of chosen.entries())
      for (const [head, { slots }] of heads.entries()) {
        const chunks = Math.ceil(slotsInPages(words, index + dense, head).length / span);
        selected += slots.length * (2 * D + 8) + chunks * (sparse ? 2 * channels : 2 * D + 2); // codes of a byte, two scales and zeros; bounds in f16, or a byte and their scale
      }
  }
  const words = await bench.words();
  let want = selected / steps;
  for (let layer = 0; layer < 2; layer++)
    for (let head = 0; head < G; head++) {
      want += 4 * D * slotsInRing(words, layer, head, 125, bench.cache.ringStart(layer)).length;
      if (layer < (reader?.plan.dense ?? 2)) want += (2 * D + 8) * slotsInPages(words, layer, head).length;
    }
  expect((await readUsage(gpu, bench.cache)).bytesReadPerToken).toBeCloseTo(want, 6);
  bench.dispose();
});

test("an allocator that ran out is an error", async () => {
  const bench = new CacheBench(gpu, { D: 32, G: 1, group: 1 }, "full", { tokens: 30 });
  await bench.prompt(20);
  gpu.write(bench.cache.buffers.free, 12, new Uint32Array([1]));
  await expect(readUsage(gpu, bench.cache)).rejects.toMatchObject({ code: "PAGES_EXHAUSTED" });
  bench.dispose();
});

test.each([
  [16, Array.from({ length: 40 }, (_, n) => n + 1)],
  [2, [1, 4, 5, 6, 20]],
  [3, [1, 5, 6, 7, 20]],
  [7, [1, 7, 8, 9, 20]],
])("a ring of %d, nothing dropped: every position is attended once in every layer, whatever the prompt", async (ring, prompts) => {
  const shape = { D: 32, G: 1, group: 1, layers: 10 }; // more than there are turns, and not a multiple
  for (const prompt of prompts) {
    const tokens = prompt + 40;
    const bench = new CacheBench(gpu, shape, { precision: { kind: "uniform", format: "k16v16" }, ring }, { tokens });
    await bench.prompt(prompt);
    for (let position = prompt; position < tokens; position++) {
      const look = position % 13 === 0 || position === tokens - 1;
      for (const { got, exact } of await bench.append(undefined, look)) expectClose(got, exact, tolerances.cacheAttention);
      if (!look) continue;
      const words = await bench.words();
      for (let layer = 0; layer < shape.layers; layer++) {
        const positions = bench.slots(words, layer, 0).map((slot) => slot.position);
        expect(positions.sort((a, b) => a - b)).toEqual(Array.from({ length: position + 1 }, (_, at) => at));
        // Word 3 of the table is where the kernels take the ring's start from.
        expect(Math.max(words.tables[layer * words.plan.tableStride + 3] ?? 0, bench.policy.sinks)).toBe(bench.cache.ringStart(layer));
      }
    }
    bench.dispose();
  }
});

// ring-fill: a prompt's sinks and newest tokens stand in the ring's rows, bit by bit, at the rows decoding expects.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { slotsInRing } from "../reference/page-table";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([
  [1, 4, 16],
  [4, 4, 16],
  [7, 4, 16],
  [12, 4, 16],
  [13, 4, 16],
  [77, 4, 16],
  [77, 0, 7],
  [50, 9, 2],
])("a prompt of %d tokens, %d sinks, ring of %d", async (tokens, sinks, ring) => {
  const [D, G] = [32, 2];
  const bench = new CacheBench(gpu, { D, G, group: 1 }, { precision: { kind: "uniform", format: "k16v16" }, sinks, ring }, { tokens });
  await bench.prompt(tokens);
  const words = await bench.words();
  const newest = Math.min(Math.floor(ring / 2), Math.max(0, tokens - sinks));
  for (let layer = 0; layer < 2; layer++)
    for (let head = 0; head < G; head++) {
      const held = slotsInRing(words, layer, head, tokens, bench.cache.ringStart(layer));
      expect(held.length).toBe(Math.min(sinks, tokens) + newest);
      for (const { position, key, value } of held) {
        expect([...key]).toEqual([...(bench.truth[layer]?.[head]?.[position]?.key ?? [])]);
        expect([...value]).toEqual([...(bench.truth[layer]?.[head]?.[position]?.value ?? [])]);
      }
    }
  bench.dispose();
});

// ring-fill: a prompt's sinks and newest tokens stand in the ring's rows, bit by bit, at the rows decoding expects.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { encode, hadamard, half, recodeGuest } from "../reference/codec";
import { slotsInRing } from "../reference/page-table";
import { expectClose, tolerances } from "../tolerances";
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

test.each([
  [64, 3, 13, 4, 16],
  [96, 1, 77, 4, 16],
  [32, 2, 77, 0, 7],
  [128, 2, 3, 4, 16],
])("head size %d, %d kv heads, a prompt of %d tokens into 8 bits, %d sinks, ring of %d", async (D, G, tokens, sinks, ring) => {
  const policy = { precision: { kind: "uniform", format: "k16v16" }, sinks, ring, ringBits: 8 } as const;
  const bench = new CacheBench(gpu, { D, G, group: 1 }, policy, { tokens });
  const long = Float64Array.from({ length: D }, (_, c) => half(c === 3 ? 900 : Math.sin(c))); // one channel that dwarfs the others
  await bench.prompt(tokens, (position) => (position === tokens - 1 ? { key: long } : {}));
  const words = await bench.words();
  for (let layer = 0; layer < 2; layer++)
    for (let head = 0; head < G; head++) {
      const held = slotsInRing(words, layer, head, tokens, bench.cache.ringStart(layer));
      expect(held.length).toBe(Math.min(sinks, tokens) + Math.min(Math.floor(ring / 2), Math.max(0, tokens - sinks)));
      for (const { position, keyCoded, valueCoded, ...slot } of held) {
        const truth = bench.truth[layer]?.[head]?.[position];
        if (!truth) return expect.fail(`nothing at ${position}`);
        for (const [got, coded, exact] of [
          [slot.key, keyCoded, truth.key],
          [slot.value, valueCoded, truth.value],
        ] as const) {
          const want = encode(hadamard(exact), 8);
          expectClose([coded.scale, coded.zero], [want.scale, want.zero], tolerances.half);
          expectClose(got, recodeGuest(exact, 8, coded), { ...tolerances.f64, atol: coded.scale }); // a code on the edge between two may be either
        }
      }
    }
  bench.dispose();
});

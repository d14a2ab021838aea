// statistics: where a layer's numbers stand, and what they cost.

import fc from "fast-check";
import { expect, test } from "vitest";
import { energyOffset, receivedOffset, statisticsBytesPerLayer } from "../../../src/cache/statistics";
import { keptLayout } from "../../../src/kernels/scoring";

test("by hand: SmolLM2's three kv heads of 64 channels", () => {
  const config = { layers: 30, kvHeads: 3, headSize: 64 };
  // 3 energies and 3 factors, two words of padding; 7 planes of 32 halves and four scalars a head: 4 (8 + 3 (7 * 16 + 4)) = 1,424 bytes.
  expect(keptLayout(config)).toEqual({ first: 8, words: 116, layerBytes: 1536 });
  expect(statisticsBytesPerLayer(config, 0)).toBe(1536);
  expect(energyOffset(config, 29)).toBe(29 * 1536);
  // 20 rows: 240 bytes a layer are 256.
  expect(statisticsBytesPerLayer(config, 20)).toBe(1792);
  expect(receivedOffset(config, 2, 20)).toBe(30 * 1536 + 2 * 256);
});

test("layers' parts follow one another, can be bound and fill what is paid for", () => {
  const shapes = fc.record({
    layers: fc.integer({ min: 1, max: 40 }),
    kvHeads: fc.integer({ min: 1, max: 32 }),
    headSize: fc.integer({ min: 1, max: 32 }).map((n) => 8 * n),
    ringSlots: fc.integer({ min: 0, max: 80 }),
  });
  fc.assert(
    fc.property(shapes, ({ ringSlots, ...config }) => {
      const { layers, kvHeads, headSize } = config;
      const { first, words, layerBytes } = keptLayout(config);
      expect(first % 2, "records are read two words at a time").toBe(0);
      expect(first).toBeGreaterThanOrEqual(2 * kvHeads);
      expect(words % 2).toBe(0);
      expect(words).toBe((7 * headSize) / 4 + 4);
      const used = 4 * (first + kvHeads * words);
      expect(layerBytes).toBeGreaterThanOrEqual(used);
      expect(layerBytes).toBeLessThan(used + 256);
      const starts = [
        ...Array.from({ length: layers }, (_, layer) => [energyOffset(config, layer), layerBytes] as const),
        ...Array.from({ length: layers }, (_, layer) => [receivedOffset(config, layer, ringSlots), Math.ceil((kvHeads * ringSlots * 4) / 256) * 256] as const),
      ];
      let end = 0;
      for (const [start, bytes] of starts) {
        expect(start % 256).toBe(0);
        expect(start).toBe(end);
        end = start + bytes;
      }
      expect(end).toBe(layers * statisticsBytesPerLayer(config, ringSlots));
    }),
  );
});

// page-layout: the byte formula: slots and pages for every head size, and that a budget is never exceeded and nearly used up.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FORMATS, formatByName, scaleWords, slotWords } from "../../../src/cache/formats";
import {
  cacheBytes,
  choosePageLayout,
  extraWords,
  fullBytesPerToken,
  type GuestBits,
  guestRowWords,
  markerRowWords,
  pagesPerLayer,
  type RingBits,
  ringPlaneWords,
  ringRowWords,
  tableWords,
} from "../../../src/cache/page-layout";

test("words of a slot: codes, scales, and one word of position and importance", () => {
  const words = (name: Parameters<typeof formatByName>[0], D: number): number => slotWords(formatByName(name), D);
  expect(FORMATS.map(({ name }) => words(name, 64))).toEqual([65, 35, 27, 19, 15, 12, 10, 10, 9, 7]);
  expect(FORMATS.map(({ name }) => words(name, 32))).toEqual([33, 19, 15, 11, 9, 7, 6, 6, 6, 5]);
  expect(FORMATS.map(scaleWords)).toEqual([0, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
  for (const D of [16, 32, 64, 80, 96, 128, 256]) for (const format of FORMATS) expect(Number.isInteger(slotWords(format, D))).toBe(true);
});

test("a policy may list every format: the shaders have room for them", () => {
  const text = (name: string): string => readFileSync(new URL(`../../../shaders/${name}.wgsl`, import.meta.url), "utf8");
  expect(Number(/array<Format, (\d+)>/.exec(text("lib/cache"))?.[1])).toBe(FORMATS.length);
  expect(Number(/const OPTIONS = (\d+)u/.exec(text("choose-formats"))?.[1])).toBe(FORMATS.length + 1); // and dropped
});

test("bytes of a token in the full cache: SmolLM2-135M", () => {
  expect(fullBytesPerToken({ layers: 30, kvHeads: 3, headSize: 64 })).toBe(23040);
});

describe("pages", () => {
  const sets = fc.uniqueArray(fc.constantFrom(...FORMATS), { minLength: 1, maxLength: 10 });
  const sizes = fc.constantFrom(16, 32, 64, 80, 96, 128, 256);

  test("hold whole slots, waste little, and are a multiple of 256 bytes", () => {
    fc.assert(
      fc.property(sets, sizes, fc.integer({ min: 1000, max: 4_000_000 }), (formats, headSize, expected) => {
        const layout = choosePageLayout(formats, headSize, expected);
        expect(layout.pageBytes % 256).toBe(0);
        formats.forEach((format, index) => {
          const slots = layout.slotsPerPage[index] ?? 0;
          expect(slots).toBeGreaterThanOrEqual(1);
          expect(slots).toBeLessThanOrEqual(512); // lib/compress-step keeps a slot in nine bits
          expect(slots * slotWords(format, headSize)).toBeLessThanOrEqual(layout.pageWords);
          expect((slots + 1) * slotWords(format, headSize)).toBeGreaterThan(layout.pageWords);
        });
      }),
    );
  });

  test("larger pages where a head holds more", () => {
    const formats = [formatByName("k2v2"), formatByName("k4v4")];
    const bytes = [4_000, 40_000, 400_000].map((expected) => choosePageLayout(formats, 64, expected).pageBytes);
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
    expect(bytes[0]).toBeLessThan(bytes[2] ?? 0);
  });

  test("a head too large for any page is refused", () => {
    expect(() => choosePageLayout([formatByName("k16v16")], 4096, 1e6)).toThrowError(expect.objectContaining({ code: "UNSUPPORTED_ARCHITECTURE" }));
  });
});

describe("a budget", () => {
  const cases = fc.record({
    layers: fc.integer({ min: 1, max: 32 }),
    kvHeads: fc.integer({ min: 1, max: 8 }),
    headSize: fc.constantFrom(32, 64, 96, 128),
    numFormats: fc.integer({ min: 1, max: 10 }),
    ringSlots: fc.integer({ min: 2, max: 60 }),
    ringBits: fc.constantFrom<RingBits>(16, 8),
    extras: fc.record({ markers: fc.nat(9), guests: fc.nat(40), guestBits: fc.constantFrom<GuestBits>(8, 4) }),
    statistics: fc.integer({ min: 0, max: 4 }),
    perHead: fc.integer({ min: 4_000, max: 200_000 }),
    weights: fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 32, maxLength: 32 }),
  });

  test("is never exceeded by the bytes of all buffers, and what is left is less than a page a layer", () => {
    fc.assert(
      fc.property(cases, ({ layers, kvHeads, headSize, numFormats, ringSlots, ringBits, extras, statistics, perHead, weights }) => {
        const shape = { layers, kvHeads, headSize };
        const bytes = perHead * layers * kvHeads;
        const layout = choosePageLayout(FORMATS.slice(-numFormats), headSize, perHead);
        const sum = weights.slice(0, layers).reduce((a, b) => a + b, 0);
        const shares = weights.slice(0, layers).map((weight) => weight / sum);
        const fixed = { numFormats, ringSlots, ringBits, extras, statisticsBytes: statistics * 256 * layers };
        let pages: number[];
        try {
          pages = pagesPerLayer(shape, layout, fixed, { bytes, shares });
        } catch (error) {
          expect(error).toMatchObject({ code: "BUDGET_TOO_SMALL" });
          expect(cacheBytes(shape, layout, fixed, Array<number>(layers).fill(kvHeads + 1))).toBeGreaterThan(bytes - layers * 512);
          return;
        }
        expect(pages.length).toBe(layers);
        for (const count of pages) expect(count).toBeGreaterThanOrEqual(kvHeads);
        const used = cacheBytes(shape, layout, fixed, pages);
        expect(used).toBeLessThanOrEqual(bytes);
        expect(bytes - used).toBeLessThan(2 * layout.pageBytes + layers * 512); // a table grows by 256 bytes at a time
      }),
    );
  });

  test("follows the shares, the ring's part included", () => {
    const shape = { layers: 2, kvHeads: 3, headSize: 64 };
    const layout = choosePageLayout([formatByName("k4v4")], 64, 100_000);
    const fixed = { numFormats: 1, ringSlots: 20, ringBits: 16 as const, statisticsBytes: 0 };
    const [first = 0, second = 0] = pagesPerLayer(shape, layout, fixed, { bytes: 600_000, shares: [0.75, 0.25] });
    const ring = 20 * 3 * 64 * 4;
    const part = (first * layout.pageBytes + ring) / ((first + second) * layout.pageBytes + 2 * ring);
    expect(part).toBeCloseTo(0.75, 1);
    const coded = pagesPerLayer(shape, layout, { ...fixed, ringBits: 8 }, { bytes: 600_000, shares: [0.75, 0.25] });
    expect(coded.reduce((a, b) => a + b) - first - second).toBeCloseTo((2 * 20 * 3 * (256 - 2 * 68)) / layout.pageBytes, -1); // what 8 bits leave, in pages
  });

  test("rows of the ring, by hand", () => {
    expect([ringRowWords(64, 16), ringRowWords(64, 8), ringRowWords(96, 8)]).toEqual([32, 16 + 1, 24 + 1]);
    expect([ringPlaneWords({ layers: 1, kvHeads: 3, headSize: 64 }, 20, 16), ringPlaneWords({ layers: 1, kvHeads: 3, headSize: 64 }, 20, 8)]).toEqual([
      1920, 1024,
    ]); // 1,020 in steps of 64
  });

  test("rows beside sinks and ring, by hand", () => {
    const shape = { layers: 4, kvHeads: 3, headSize: 64 };
    expect([markerRowWords(64), guestRowWords(64, 8), guestRowWords(64, 4)]).toEqual([68, 16 + 16 + 3, 8 + 8 + 3]);
    expect(extraWords(shape, { markers: 5, guests: 9, guestBits: 8 })).toBe(1984); // 3 (5 * 68 + 9 * 35) = 1,965, in steps of 64
    expect(extraWords(shape, { markers: 0, guests: 0, guestBits: 4 })).toBe(0);
  });

  test("too small names what is needed", () => {
    const layout = choosePageLayout([formatByName("k4v4")], 64, 1000);
    const fixed = { numFormats: 1, ringSlots: 20, ringBits: 16 as const, statisticsBytes: 0 };
    expect(() => pagesPerLayer({ layers: 4, kvHeads: 3, headSize: 64 }, layout, fixed, { bytes: 1000, shares: [0.25, 0.25, 0.25, 0.25] })).toThrowError(
      expect.objectContaining({ code: "BUDGET_TOO_SMALL", details: expect.objectContaining({ found: 1000 }) }),
    );
    const shape = { layers: 4, kvHeads: 3, headSize: 64 };
    const shares = [0.25, 0.25, 0.25, 0.25];
    expect(() => pagesPerLayer(shape, layout, { ...fixed, extras: { markers: 4, guests: 60, guestBits: 8 } }, { bytes: 100_000, shares })).toThrowError(
      /64 markers and guests .* fewer markers/,
    );
    expect(pagesPerLayer(shape, layout, fixed, { bytes: 100_000, shares }).length).toBe(4);
  });
});

test("a table has room for its lists and pages", () => {
  expect(tableWords({ layers: 1, kvHeads: 3, headSize: 64 }, 3, 100)).toBe(128); // 4 + 2 * 9 + 100 = 122
});

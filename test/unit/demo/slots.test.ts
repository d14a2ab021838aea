// slots: the cache map as the page counts it.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { FORMAT_NAMES } from "../../../demo/choices";
import { BIT_STEPS, bitColour, bitStep, keyBits, readSlots, shareOf, tokenShare, tokensPerColumn, valueBits } from "../../../demo/map/slots";
import type { CacheMap } from "../../../src/engine-types";

const map: CacheMap = {
  tokens: 6,
  formats: ["k16v16", "k4v2", "k8v8"],
  layers: [
    {
      heads: [
        { positions: Uint32Array.of(0, 1, 5), format: Uint8Array.of(0, 1, 2) },
        { positions: Uint32Array.of(0), format: Uint8Array.of(0) },
      ],
    },
    {
      heads: [
        { positions: Uint32Array.of(0, 5), format: Uint8Array.of(0, 0) },
        { positions: new Uint32Array(0), format: new Uint8Array(0) },
      ],
    },
  ],
};

test("a head's share counts kept slots and averages the bits of those only", () => {
  const slots = readSlots(map);
  expect(shareOf(slots, "key", 0, 0, 0, 6)).toEqual({ kept: 3, total: 6, bits: (16 + 4 + 8) / 3 });
  expect(shareOf(slots, "value", 0, 0, 1, 3)).toEqual({ kept: 1, total: 2, bits: 2 });
  expect(shareOf(slots, "key", 0, 0, 2, 5)).toEqual({ kept: 0, total: 3, bits: 0 });
});

test("a layer's share goes over its heads, a column past the end is cut", () => {
  const slots = readSlots(map);
  expect(shareOf(slots, "key", 0, undefined, 0, 2)).toEqual({ kept: 3, total: 4, bits: 12 });
  expect(shareOf(slots, "key", 1, undefined, 4, 8)).toEqual({ kept: 1, total: 4, bits: 16 });
});

test("a token's share goes over all layers and heads", () => {
  const slots = readSlots(map);
  expect(tokenShare(slots, "key", 0)).toEqual({ kept: 3, total: 4, bits: 16 });
  expect(tokenShare(slots, "key", 3)).toEqual({ kept: 0, total: 4, bits: 0 });
  expect(tokenShare(slots, "value", 5)).toEqual({ kept: 2, total: 4, bits: 12 });
});

test("formats are read by their names, means go to the nearest step of the palette", () => {
  expect([keyBits("k8v4"), valueBits("k8v4"), keyBits("k16v16"), valueBits("k16v16")]).toEqual([8, 4, 16, 16]);
  expect([keyBits("k2v2-klt"), valueBits("k2v2-klt"), keyBits("k1.5v1"), valueBits("k1.5v1")]).toEqual([2, 2, 1.5, 1]);
  expect([1, 1.2, 1.3, 1.7, 1.8].map(bitStep)).toEqual([1, 1, 1.5, 1.5, 2]);
  expect([2, 2.4, 2.5, 3.4, 3.5, 5.6, 5.7, 11.3, 11.4].map(bitStep)).toEqual([2, 2, 3, 3, 4, 4, 8, 8, 16]);
});

test("every format has a colour of its own, made of its keys' and its values'", () => {
  for (const name of FORMAT_NAMES) expect([keyBits(name), valueBits(name)].map(bitStep), name).toEqual([keyBits(name), valueBits(name)]);
  expect([bitColour(16), bitColour(1.5), bitColour(0)]).toEqual(["var(--bits-16)", "var(--bits-1-5)", "var(--rule)"]);
  const base = readFileSync(fileURLToPath(new URL("../../../demo/style/base.css", import.meta.url)), "utf8");
  for (const step of BIT_STEPS) expect(base).toContain(`${bitColour(step).slice(4, -1)}: light-dark(`);
});

test("columns hold a power of two of tokens and never get thinner than asked", () => {
  expect(tokensPerColumn(512, 1024)).toBe(1);
  expect(tokensPerColumn(513, 1024)).toBe(2);
  expect(tokensPerColumn(8192, 1024)).toBe(16);
  expect(tokensPerColumn(8192, 320)).toBe(64);
});

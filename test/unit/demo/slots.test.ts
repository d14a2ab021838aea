// slots: the cache map as the page counts it.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { FORMAT_NAMES } from "../../../demo/choices";
import {
  BIT_STEPS,
  bitColour,
  bitStep,
  guestsIn,
  keyBits,
  readSlots,
  recalledIn,
  recalledRuns,
  shareOf,
  tokenShare,
  tokensPerColumn,
  valueBits,
  withoutGuests,
} from "../../../demo/map/slots";
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

test("what came back is a property of tokens: counted by range, joined to stretches; a map without a cold tier has none", () => {
  const slots = readSlots({ ...map, recalled: Uint32Array.of(1, 2, 4, 5, 9) });
  expect([...slots.recalled]).toEqual([0, 1, 1, 0, 1, 1]);
  expect(recalledRuns(slots)).toEqual([
    [1, 3],
    [4, 6],
  ]);
  expect([recalledIn(slots, 0, 6), recalledIn(slots, 2, 5), recalledIn(slots, 3, 4), recalledIn(slots, 4, 99)]).toEqual([4, 2, 0, 2]);
  expect(recalledRuns(readSlots(map))).toEqual([]);
});

test("a guest is in 8 bits where its head's rows hold it: a token that came back and that neither pages nor rows hold is not there", () => {
  const rows = [[2], [1, 2], [1, 2], [1, 2, 9]];
  const layers = map.layers.map(({ heads }, l) => ({ heads: heads.map((head, h) => ({ ...head, guests: Uint32Array.from(rows[2 * l + h] ?? []) })) }));
  const slots = readSlots({ ...map, layers, recalled: Uint32Array.of(1, 2, 3) });
  expect(tokenShare(slots, "key", 3)).toEqual({ kept: 0, total: 4, bits: 0 });
  expect(tokenShare(slots, "key", 1)).toEqual({ kept: 4, total: 4, bits: (4 + 3 * 8) / 4 });
  expect(tokenShare(slots, "value", 2)).toEqual({ kept: 4, total: 4, bits: 8 });
  expect([guestsIn(slots, 0, 0, 0, 6), guestsIn(slots, 0, undefined, 0, 6), guestsIn(slots, 1, 1, 2, 99), guestsIn(slots, 1, 1, 3, 6)]).toEqual([1, 3, 1, 0]);
  // Head 0 of layer 0 holds tokens 0, 1 and 5 in 16, 4 and 8 bits, and 2 as a guest.
  const share = shareOf(slots, "key", 0, 0, 0, 6);
  expect(share).toEqual({ kept: 4, total: 6, bits: 9 });
  expect(withoutGuests(share, 1)).toEqual({ kept: 3, total: 6, bits: 28 / 3 });
  expect(withoutGuests({ kept: 2, total: 2, bits: 16 }, 2)).toEqual({ kept: 0, total: 2, bits: 0 });
});

test("markers stay with their head", () => {
  const span = { first: 2, end: 5, count: 3 };
  const layers = map.layers.map((layer, l) => ({ heads: layer.heads.map((head, h) => (l === 1 && h === 0 ? { ...head, markers: [span] } : head)) }));
  expect(readSlots({ ...map, layers }).markers).toEqual([[], [], [span], []]);
});

test("what came back stands out from the page and from 16 bits by 3 to 1 at least, in both themes", () => {
  const base = readFileSync(fileURLToPath(new URL("../../../demo/style/base.css", import.meta.url)), "utf8");
  const colours = (name: string): string[] => (new RegExp(`--${name}: light-dark\\((#\\w{6}), (#\\w{6})\\)`).exec(base) ?? []).slice(1);
  // WCAG 2.2: relative luminance and contrast ratio.
  const luminance = (hex: string): number => {
    const [r = 0, g = 0, b = 0] = [1, 3, 5]
      .map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one: string, other: string): number => {
    const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  const recalled = colours("recalled");
  expect(recalled).toHaveLength(2);
  for (const other of ["card", "well", "bits-16"])
    for (const [at, colour] of colours(other).entries()) expect(contrast(recalled[at] ?? "", colour), `${other} ${colour}`).toBeGreaterThanOrEqual(3);
});

// extra-rows: rows beside sinks and ring that the host fills: they hold what it gave, rounded, attention with guests is attention over all slots there are,
// rows that are empty change nothing, and the budget pays for all of them.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Guest, writeGuests } from "../../src/cache/extra-rows";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { half, recodeGuest } from "../reference/codec";
import { type GuestRow, guestRows } from "../reference/page-table";
import { expectClose, tolerances } from "../tolerances";
import { type BenchShape, CacheBench, packHalves, type Truth } from "./cache-bench";
import { checkBytes, slotFormats } from "./cache-checks";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const smol: BenchShape = { D: 64, G: 3, group: 3 };
const shapes: BenchShape[] = [{ D: 32, G: 2, group: 3 }, smol, { D: 96, G: 1, group: 8 }, { D: 128, G: 2, group: 1 }];
const evicting: PolicySpec = { precision: { kind: "evict-only" } };

function guestOf({ key, value }: Truth, position: number): Guest {
  return { position, words: Uint32Array.from([...packHalves(key), ...packHalves(value)]) };
}

/** An eighth of the full cache. */
function budgetOf({ D, G }: BenchShape, tokens: number): number {
  return Math.floor((2 * tokens * G * D * 4) / 8 + 2 * 4 * 64 * 4);
}

/** The twin of a row. */
function recoded({ key, value }: Truth, { coded }: GuestRow, bits: 8 | 4): { readonly key: Float64Array; readonly value: Float64Array } {
  return { key: recodeGuest(key, bits, coded[0]), value: recodeGuest(value, bits, coded[1]) };
}

describe.each(shapes)("D $D, $G kv heads of $group queries", (shape) => {
  test.each([
    [1, 8],
    [7, 4],
    [130, 8],
    [130, 4],
  ] as const)("%d rows a head of %d bits: some filled, some empty, and emptied again", async (guests, guestBits) => {
    const tokens = 203;
    const full = 2 * tokens * shape.G * shape.D * 4;
    const bench = new CacheBench(gpu, shape, { ...evicting, guests, guestBits }, { tokens, budgetBytes: full / 2 + 2 * shape.G * guests * shape.D * 4 });
    await bench.prompt(200, (position) => (position === 21 ? { key: Float64Array.from({ length: shape.D }, (_, c) => half(9 * Math.sin(c + 1))) } : {}));
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    const written = Array.from({ length: Math.ceil(guests / 2) }, (_, i) => i + 20);
    for (let layer = 0; layer < 2; layer++)
      for (let head = 0; head < shape.G; head++) {
        const rows = bench.truth[layer]?.[head] ?? [];
        const all = written.map((position) => guestOf(rows[position] as Truth, position));
        writeGuests(gpu, bench.cache.buffers, { layer, head, first: guests - all.length }, all);
      }
    const rows = guestRows(await bench.words(), 1, shape.G - 1);
    expect(rows.map((row) => row?.position)).toEqual([...Array(guests - written.length).fill(undefined), ...written]);
    for (const row of rows) {
      if (!row) continue;
      const want = recoded(bench.truth[1]?.[shape.G - 1]?.[row.position] as Truth, row, guestBits);
      expectClose([...row.key, ...row.value], [...want.key, ...want.value], tolerances.f64);
    }
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    for (let layer = 0; layer < 2; layer++)
      for (let head = 0; head < shape.G; head++) writeGuests(gpu, bench.cache.buffers, { layer, head, first: 0 }, Array(guests).fill(undefined));
    expect(guestRows(await bench.words(), 0, 0).every((row) => row === undefined)).toBe(true);
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    bench.dispose();
  });
});

test("all that was evicted back as guests is attention over all there is", async () => {
  const [tokens, guests] = [101, 100];
  const bench = new CacheBench(gpu, smol, { ...evicting, guests }, { tokens, budgetBytes: 2 * 3 * (guests * 35 * 4 + 40 * 64 * 4) });
  await bench.prompt(100, (position) => (position === 50 ? { key: Float64Array.from({ length: 64 }, (_, c) => half(30 * Math.sin(c + 1))) } : {}));
  const words = await bench.words();
  let evicted = 0;
  for (let layer = 0; layer < 2; layer++)
    for (let head = 0; head < 3; head++) {
      const kept = new Set(bench.slots(words, layer, head).map(({ position }) => position));
      const rows = bench.truth[layer]?.[head] ?? [];
      const gone = rows.map((_, position) => position).filter((position) => !kept.has(position));
      evicted += gone.length;
      const back = gone.map((position) => guestOf(rows[position] as Truth, position));
      writeGuests(gpu, bench.cache.buffers, { layer, head, first: 0 }, back);
      for (const row of guestRows(await bench.words(), layer, head)) // exact attention is over what came back
        if (row) Object.assign(rows[row.position] as Truth, recoded(rows[row.position] as Truth, row, 8));
    }
  expect(evicted).toBeGreaterThan(2 * 3 * 50);
  for (const { got, exact } of await bench.append()) expectClose(got, exact, tolerances.cacheAttention);
  bench.dispose();
});

test.each([
  ["rate-distortion", {}],
  ["agacc, three thresholds", { precision: { kind: "agacc" }, markers: { count: 2 } }],
] as const)("%s: a guest that waits takes the place of its slot in pages when the layer is judged, and not before", async (_, spec) => {
  const [tokens, guests] = [400, 12];
  const policy: PolicySpec = { precision: { kind: "rate-distortion" }, schedule: { kind: "ring" }, ...spec, guests };
  const bench = new CacheBench(gpu, smol, policy, { tokens, promptTokens: 300, budgetBytes: budgetOf(smol, tokens) + 60_000 });
  await bench.prompt(300);
  const { formats } = bench.cache.policy;
  const isDemoted = (format: number): boolean => (formats[format]?.keyBits ?? 16) + (formats[format]?.valueBits ?? 16) < 16;
  const chosen = slotFormats(await bench.words()).map((heads, layer) =>
    heads.map((slots, head) => {
      const positions = [...slots].filter(([, format]) => isDemoted(format)).map(([position]) => position).filter((__, i) => i % 3 === 0).slice(0, guests - 2); // biome-ignore format: one line
      const rows = positions.map((position) => ({ ...guestOf(bench.truth[layer]?.[head]?.[position] as Truth, position), waits: true }));
      writeGuests(gpu, bench.cache.buffers, { layer, head, first: 1 }, rows);
      return positions;
    }),
  );
  const check = async (waits: boolean): Promise<void> => {
    const words = await bench.words();
    const held = slotFormats(words);
    for (const [layer, heads] of chosen.entries())
      for (const [head, positions] of heads.entries()) {
        const rows = guestRows(words, layer, head).filter((row) => row !== undefined);
        expect(positions.length).toBeGreaterThan(4);
        expect(rows.map((row) => [row.position, row.waits])).toEqual(positions.map((position) => [position, waits]));
        expect(positions.filter((position) => held[layer]?.[head]?.has(position))).toEqual(waits ? positions : []);
        expect(held[layer]?.[head]?.size).toBeGreaterThan(20);
      }
  };
  await check(true);
  for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
  await check(true);
  for (let i = 0; i < 40; i++) await bench.append(undefined, false); // every layer has its turn
  await check(false);
  for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
  bench.dispose();
});

test.each([3, 1])("what came back no longer counts in the %d markers that stand for it", async (count) => {
  const [tokens, guests] = [201, 24];
  const same = {
    key: Float64Array.from({ length: 64 }, (_, c) => half(0.7 * Math.cos(c))),
    value: Float64Array.from({ length: 64 }, (_, c) => half(Math.sin(c))),
  };
  const policy = { ...evicting, markers: { count }, guests };
  const bench = new CacheBench(gpu, smol, policy, { tokens, budgetBytes: 2 * 3 * (100 * 65 * 4 + guests * 35 * 4) });
  await bench.prompt(200, (position) => (position >= 40 && position < 180 ? { ...same, importance: 1e-9 } : { importance: 1 }));
  for (let layer = 0; layer < 2; layer++)
    for (let head = 0; head < 3; head++) {
      const kept = new Set(bench.slots(await bench.words(), layer, head).map(({ position }) => position));
      const gone = Array.from({ length: 140 }, (_, i) => i + 40).filter((position) => !kept.has(position));
      expect(gone.length).toBeGreaterThan(100);
      const rows = bench.truth[layer]?.[head] ?? [];
      const back = gone.filter((_, i) => i % 5 === 0).slice(0, guests - 1); // one row stays empty
      writeGuests(gpu, bench.cache.buffers, { layer, head, first: 1 }, back.map((position) => guestOf(rows[position] as Truth, position))); // biome-ignore format: one line
    }
  // All evicted slots are alike, so that a span's mean is each of them, and attention as if nothing had been dropped.
  for (const { got, stored, exact } of await bench.append()) {
    expectClose(got, stored, tolerances.cacheAttention);
    expectClose(got, exact, tolerances.markers);
  }
  bench.dispose();
});

test("the budget pays for the rows, to the byte, and a cache without them has none", () => {
  const tokens = 400;
  const budgetBytes = budgetOf(smol, tokens) + 60_000;
  const [none, some] = [0, 9].map((guests) => new CacheBench(gpu, smol, { ...evicting, guests }, { tokens, budgetBytes }));
  for (const bench of [none, some]) if (bench) checkBytes(bench.cache, budgetBytes);
  const rowBytes = Math.ceil((3 * 9 * (16 + 16 + 3)) / 64) * 256;
  expect((some?.cache.plan.tableStride ?? 0) - (some?.cache.plan.extraStart ?? 0)).toBe(rowBytes / 4);
  expect(none?.cache.plan.tableStride).toBe(none?.cache.plan.extraStart);
  expect(some?.cache.plan.totalPages).toBeLessThan(none?.cache.plan.totalPages ?? 0);
  expect(some?.cache.plan.units).toBe((none?.cache.plan.units ?? 0) + 1);
  for (const bench of [none, some]) bench?.dispose();
});

test("rows that do not exist are refused before anything is written", () => {
  const bench = new CacheBench(gpu, smol, { ...evicting, guests: 2 }, { tokens: 100, budgetBytes: 40_000 });
  const write = (at: { layer: number; head: number; first: number }) => () => writeGuests(gpu, bench.cache.buffers, at, [undefined]);
  for (const at of [
    { layer: 0, head: 0, first: 2 },
    { layer: 0, head: 0, first: -1 },
    { layer: 2, head: 0, first: 0 },
    { layer: 0, head: 3, first: 0 },
  ])
    expect(write(at)).toThrow(RangeError);
  expect(write({ layer: 1, head: 2, first: 1 })).not.toThrow();
  bench.dispose();
});

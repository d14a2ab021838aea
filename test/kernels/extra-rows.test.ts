// extra-rows: rows beside sinks and ring that the host fills: attention with guests is attention over all slots there are, rows that are empty
// change nothing, and the budget pays for all of them.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Guest, writeGuests } from "../../src/cache/extra-rows";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { half } from "../reference/codec";
import { extraRows } from "../reference/page-table";
import { expectClose, tolerances } from "../tolerances";
import { type BenchShape, CacheBench, packHalves, type Truth } from "./cache-bench";
import { checkBytes } from "./cache-checks";
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

describe.each(shapes)("D $D, $G kv heads of $group queries", (shape) => {
  test.each([1, 7, 130])("%d rows a head: some filled, some empty, and emptied again", async (guests) => {
    const tokens = 203;
    const full = 2 * tokens * shape.G * shape.D * 4;
    const bench = new CacheBench(gpu, shape, { ...evicting, guests }, { tokens, budgetBytes: full / 2 + 2 * shape.G * guests * shape.D * 8 });
    await bench.prompt(200);
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    const written = Array.from({ length: Math.ceil(guests / 2) }, (_, i) => i + 20);
    for (let layer = 0; layer < 2; layer++)
      for (let head = 0; head < shape.G; head++) {
        const rows = bench.truth[layer]?.[head] ?? [];
        const all = written.map((position) => guestOf(rows[position] as Truth, position));
        writeGuests(gpu, bench.cache.buffers, { layer, head, first: guests - all.length }, all);
      }
    const words = await bench.words();
    const last = extraRows(words, 1, shape.G - 1).at(-1);
    expect(last).toMatchObject({ bias: 0, count: 1, first: written.at(-1), key: bench.truth[1]?.[shape.G - 1]?.[written.at(-1) ?? 0]?.key });
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    for (let layer = 0; layer < 2; layer++)
      for (let head = 0; head < shape.G; head++) writeGuests(gpu, bench.cache.buffers, { layer, head, first: 0 }, Array(guests).fill(undefined));
    expect(extraRows(await bench.words(), 0, 0).every(({ bias }) => bias === Math.fround(-1e30))).toBe(true);
    for (const { got, stored } of await bench.append()) expectClose(got, stored, tolerances.cacheAttention);
    bench.dispose();
  });
});

test("all that was evicted back as guests is exact attention", async () => {
  const [tokens, guests] = [101, 100];
  const bench = new CacheBench(gpu, smol, { ...evicting, guests }, { tokens, budgetBytes: 2 * 3 * (guests * 68 * 4 + 40 * 64 * 4) });
  await bench.prompt(100, (position) => (position === 50 ? { key: Float64Array.from({ length: 64 }, (_, c) => half(30 * Math.sin(c + 1))) } : {}));
  const words = await bench.words();
  let evicted = 0;
  for (let layer = 0; layer < 2; layer++)
    for (let head = 0; head < 3; head++) {
      const kept = new Set(bench.slots(words, layer, head).map(({ position }) => position));
      const rows = bench.truth[layer]?.[head] ?? [];
      const gone = rows.map((_, position) => position).filter((position) => !kept.has(position));
      evicted += gone.length;
      writeGuests(
        gpu,
        bench.cache.buffers,
        { layer, head, first: 0 },
        gone.map((position) => guestOf(rows[position] as Truth, position)),
      );
    }
  expect(evicted).toBeGreaterThan(2 * 3 * 50);
  for (const { got, exact } of await bench.append()) expectClose(got, exact, tolerances.cacheAttention);
  bench.dispose();
});

test("the budget pays for the rows, to the byte, and a cache without them has none", () => {
  const tokens = 400;
  const budgetBytes = budgetOf(smol, tokens) + 60_000;
  const [none, some] = [0, 9].map((guests) => new CacheBench(gpu, smol, { ...evicting, guests }, { tokens, budgetBytes }));
  for (const bench of [none, some]) if (bench) checkBytes(bench.cache, budgetBytes);
  const rowBytes = Math.ceil((3 * 9 * 68) / 64) * 256;
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

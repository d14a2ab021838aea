// guests: blocks that come back into rows, over a GPU that is an array: what cannot be read changes nothing, and who is there goes last when room runs out.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { KvCache } from "../../../src/cache/kv-cache";
import { Evicted } from "../../../src/cold/evicted";
import { Guests } from "../../../src/cold/guests";
import { BLOCK, ColdStore, coldBlockBytes } from "../../../src/cold/store";
import type { Gpu } from "../../../src/gpu/device";
import { openScratchFile } from "../../../src/load/scratch-file";
import { seeded } from "../../reference/scoring-case";
import { type FakeOpfs, stubOpfs } from "../load/fake-opfs";

const SHAPE = { layers: 2, kvHeads: 2, headSize: 8 };
const TOKENS = 10 * BLOCK;
const ONE = coldBlockBytes(SHAPE);
const RECALL = { threshold: 0.5, halfLife: 8, promote: true };

let opfs: FakeOpfs;
beforeEach(() => {
  opfs = stubOpfs();
});
afterEach(() => vi.unstubAllGlobals());

/** Random rows; `worth` is what every layer adds. */
function take(store: ColdStore, [from, to]: readonly [number, number], worth: (block: number) => number): void {
  const random = seeded(9);
  const half = (SHAPE.kvHeads * TOKENS * SHAPE.headSize) / 2;
  for (let layer = 0; layer < SHAPE.layers; layer++) {
    const words = Uint32Array.from({ length: 2 * half }, () => Math.floor(random() * 0x7000) * 0x10001);
    const rows = { words, keysAt: 0, valuesAt: half, capacity: TOKENS };
    store.put(layer, rows, [from, to], (position) => position, worth); // biome-ignore format: one line
  }
  store.finish(from, to);
}

/** Two places for guests; everything is evicted. */
async function start(maxBytes = 20 * ONE) {
  const store = new ColdStore(SHAPE, maxBytes, openScratchFile);
  await store.open();
  take(store, [0, TOKENS], () => 0.5);
  const plan = { shape: SHAPE, extras: { markers: 0, guests: 2 * BLOCK, guestBits: 8 }, extraStart: 4, tableStride: 4 + 4 * BLOCK * 100 };
  const tables = new Uint32Array(SHAPE.layers * plan.tableStride);
  const gpu = {
    write: (to: Uint32Array, offset: number, words: Uint32Array) => to.set(words, offset / 4),
  } as unknown as Gpu;
  const cache = { plan, policy: { pinned: [] }, buffers: { plan, tables } } as unknown as KvCache;
  const guests = new Guests(gpu, cache, store, RECALL);
  const evicted = new Evicted(SHAPE, TOKENS);
  evicted.words.fill(0xffffffff);
  const point = (...blocks: number[]): void => guests.choose(new Map(blocks.map((block) => [block, 2])), 100, evicted, 0);
  return { store, tables, guests, point, evicted };
}

const positionsOf = (...blocks: number[]): number[] => blocks.flatMap((block) => Array.from({ length: BLOCK }, (_, slot) => block * BLOCK + slot));

describe("a block that cannot be read", () => {
  test("does not come: who is there stays, with its rows", async () => {
    const { tables, guests, point, store } = await start();
    point(1, 5); // neighbours count too little beside them
    expect(guests.positions()).toEqual(positionsOf(1, 5));
    const before = tables.slice();
    opfs.fault.read = new DOMException("the disk is gone", "NotReadableError");
    point(8);
    opfs.fault = {};
    expect(guests.positions()).toEqual(positionsOf(1, 5));
    expect(tables).toEqual(before);
    expect([store.has(8 * BLOCK), store.has(3 * BLOCK)]).toEqual([false, true]); // what is lost is lost
    point(3);
    expect(guests.positions()).toEqual(expect.arrayContaining(positionsOf(3)));
    await store.close();
  });

  test("makes room for none, and the next in line comes", async () => {
    const { guests, point, store } = await start();
    const restore = ColdStore.prototype.readable;
    const read = vi.spyOn(store, "readable").mockImplementation((block) => block !== 1 && restore.call(store, block));
    point(1, 5);
    expect(guests.positions()).toEqual(positionsOf(0, 5)); // a neighbour
    read.mockRestore();
    await store.close();
  });

  test("although it is there: it leaves as a whole, at once", async () => {
    const { guests, point, store, evicted, tables } = await start();
    evicted.words.fill(0xfefefefe); // the first slot of every block is in pages yet
    point(1, 5);
    evicted.words.fill(0xffffffff);
    opfs.fault.read = new DOMException("the disk is gone", "NotReadableError");
    const there = (block: number): number => tables.filter((word) => positionsOf(block).includes(word)).length;
    expect([there(1), there(5)]).toEqual([4 * (BLOCK - 1), 4 * (BLOCK - 1)]);
    guests.refresh(evicted);
    expect(guests.positions()).toEqual(positionsOf(5)); // was read last, and is at hand
    expect([there(1), there(5)]).toEqual([0, 4 * BLOCK]);
    await store.close();
  });
});

describe("when room runs out", () => {
  test("blocks of guests go last, least worth first, whatever the others are worth", async () => {
    const { store, guests, point } = await start();
    for (const block of store.blocks) block.worth = 50 + block.index - 60 * Number([1, 5].includes(block.index));
    point(1, 5);
    store.limit(3 * ONE);
    expect([...store.blocks].map(({ index }) => index)).toEqual([1, 5, 9]);
    store.limit(2 * ONE);
    expect(guests.positions()).toEqual(positionsOf(1, 5));
    for (const block of store.blocks) block.worth += block.index;
    store.limit(ONE);
    expect([...store.blocks].map(({ index }) => index)).toEqual([5]);
    await store.close();
  });

  test("what comes in takes no guest's place while another block can go; beside guests alone worth decides", async () => {
    const { store, point } = await start();
    point(1, 5);
    store.limit(3 * ONE);
    const rest = (): number[] => [...store.blocks].map(({ index }) => index).sort((a, b) => a - b);
    expect(rest()).toEqual([1, 5, 9]);
    take(store, [8 * BLOCK, 9 * BLOCK], () => 1.5); // less than what the guests were pointed at, more than the other
    expect(rest()).toEqual([1, 5, 8]);
    store.limit(2 * ONE);
    expect(rest()).toEqual([1, 5]);
    take(store, [7 * BLOCK, 8 * BLOCK], () => 0.1);
    expect(rest()).toEqual([1, 5]);
    take(store, [7 * BLOCK, 8 * BLOCK], () => 99);
    expect(rest()).toHaveLength(2);
    expect(rest()).toContain(7);
    await store.close();
  });
});

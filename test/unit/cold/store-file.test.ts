// store-file: the cold tier's store with its values in a file: it holds and gives back what the one in memory does, whatever is done to it and
// whatever the browser refuses, and memory and file together stay within the limit.

import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { planeBytes } from "../../../src/cold/plane";
import { BLOCK, ColdStore, coldBlockBytes } from "../../../src/cold/store";
import { openScratchFile } from "../../../src/load/scratch-file";
import { half, toHalf } from "../../reference/codec";
import { gaussian, seeded } from "../../reference/scoring-case";
import { type FakeOpfs, stubOpfs } from "../load/fake-opfs";

const SHAPE = { layers: 3, kvHeads: 2, headSize: 8 };
const TOKENS = 12 * BLOCK;
const ONE = coldBlockBytes(SHAPE);
const RECORD = planeBytes(SHAPE);

/** Rows of (G, TOKENS, D/2): keys, then values. */
function rowsOf(seed: number) {
  const normal = gaussian(seeded(seed));
  const words = SHAPE.kvHeads * TOKENS * SHAPE.headSize;
  const bits = (): number => toHalf(half(normal()));
  return { words: Uint32Array.from({ length: words }, () => (bits() | (bits() << 16)) >>> 0), keysAt: 0, valuesAt: words / 2, capacity: TOKENS };
}

const ROWS = Array.from({ length: 4 }, (_, seed) => Array.from({ length: SHAPE.layers }, (_, layer) => rowsOf(10 * seed + layer)));

function take(store: ColdStore, from: number, to: number, seed: number, worth: (block: number) => number): void {
  for (let layer = 0; layer < SHAPE.layers; layer++) {
    const rows = ROWS[seed]?.[layer];
    if (rows) store.put(layer, rows, [from, to], (position) => position, (block) => worth(block) / SHAPE.layers); // biome-ignore format: one line
  }
  store.finish(from, to);
}

/** All that a store gives back. */
function contentOf(store: ColdStore): unknown {
  const content = [];
  for (let position = 0; position < TOKENS; position++)
    for (let layer = 0; layer < SHAPE.layers; layer++)
      for (let head = 0; head < SHAPE.kvHeads; head++) content.push(store.has(position) ? [...(store.restore(layer, head, position) ?? ["lost"])] : undefined);
  return { content, blocks: [...store.blocks].map(({ index, version, present, worth }) => [index, version, present, worth]) };
}

let opfs: FakeOpfs;
beforeEach(() => {
  opfs = stubOpfs();
});
afterEach(() => vi.unstubAllGlobals());

async function filed(maxBytes: number): Promise<ColdStore> {
  const store = new ColdStore(SHAPE, maxBytes, openScratchFile);
  await store.open();
  return store;
}

type Act = (store: ColdStore) => void;

/** What a cache does to its tier, and the limit set anew. */
const acts: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(fc.nat(TOKENS - 1), fc.integer({ min: 1, max: 40 }), fc.nat(3), fc.nat(99)).map(
    ([from, count, seed, salt]): Act =>
      (store) => take(store, from, Math.min(TOKENS, from + count), seed, (block) => 1 + ((block * 37 + salt) % 100) + block / 100), // biome-ignore format: one line
  ),
  fc.nat(TOKENS).map(
    (tokens): Act =>
      (store) =>
        store.forget((position) => position >= tokens),
  ),
  fc.integer({ min: 1, max: 14 }).map(
    (room): Act =>
      (store) =>
        store.limit(room * ONE + 7),
  ),
  fc.nat(3).map(
    (rest): Act =>
      (store) =>
        store.retain(({ index }) => index % 4 !== rest),
  ),
);

describe("with its values in a file", () => {
  test("a worked example: bytes of memory and file, by hand", async () => {
    const store = await filed(20 * ONE);
    take(store, 0, 2 * BLOCK + 3, 0, () => 1);
    // 3 blocks of 3 layers; two are whole, and their values lie in the file: half of their bytes
    expect([store.bytes, store.fileBytes, opfs.bytes]).toEqual([3 * ONE, 2 * (ONE / 2), 2 * 3 * RECORD]);
    expect(RECORD).toBe(2 * BLOCK * (8 + 8)); // heads, tokens, codes with scale and zero
    expect(opfs.writes).toBe(3); // one a layer, both blocks at once
    const memory = new ColdStore(SHAPE, 20 * ONE);
    take(memory, 0, 2 * BLOCK + 3, 0, () => 1);
    expect([memory.bytes, memory.fileBytes]).toEqual([3 * ONE, 0]);
    take(store, 2 * BLOCK + 3, 3 * BLOCK, 1, () => 1); // the third is whole
    expect([store.bytes, store.fileBytes]).toEqual([3 * ONE, 3 * (ONE / 2)]);
    store.restore(0, 0, 1);
    store.restore(2, 1, 7);
    expect(opfs.reads).toBe(3); // once a layer, for all slots of the block
    await store.close();
    expect([store.bytes, store.fileBytes, opfs.files.size]).toEqual([0, 0, 0]);
  });

  test("holds what the one in memory holds, within the limit, whatever is done", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(acts, { maxLength: 12 }), fc.integer({ min: 1, max: 14 }), async (steps, room) => {
        const [memory, file] = [new ColdStore(SHAPE, room * ONE), await filed(room * ONE)];
        for (const act of steps) {
          act(memory);
          act(file);
          expect(file.bytes).toBeLessThanOrEqual(file.maxBytes);
          expect(file.fileBytes).toBeLessThanOrEqual(file.bytes);
          expect(contentOf(file)).toEqual(contentOf(memory));
        }
        expect([file.fileFailure, file.fileBytes]).toEqual([undefined, opfs.bytes]);
        const [copy, late] = [await filed(file.maxBytes), new ColdStore(SHAPE, file.maxBytes, openScratchFile)];
        copy.copyFrom(file);
        late.copyFrom(file);
        await late.open();
        await file.close(); // a copy has a file of its own
        const want = contentOf(memory);
        expect([contentOf(copy), contentOf(late)]).toEqual([want, want]);
        expect(late.fileBytes).toBe(copy.fileBytes);
        await Promise.all([copy.close(), late.close()]);
        expect(opfs.files.size).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  test("a quota that is reached at any moment: the rest stays in memory, nothing is lost, and it says so", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(acts, { minLength: 1, maxLength: 10 }), fc.nat(30), async (steps, records) => {
        const [memory, file] = [new ColdStore(SHAPE, 10 * ONE), await filed(10 * ONE)];
        opfs.quota = records * RECORD + 5;
        for (const act of steps) {
          act(memory);
          act(file);
          expect(file.bytes).toBeLessThanOrEqual(file.maxBytes);
          expect(contentOf(file)).toEqual(contentOf(memory));
          expect(opfs.bytes).toBeLessThanOrEqual(opfs.quota);
        }
        if (file.fileFailure !== undefined) expect(file.fileFailure).toContain("QuotaExceededError");
        opfs.quota = Number.POSITIVE_INFINITY;
        await file.close();
      }),
      { numRuns: 300, endOnFailure: true }, // what a case that failed left in the store would fail smaller ones
    );
  });

  test("full from the beginning: as in memory, with the reason", async () => {
    opfs.quota = 0;
    const [memory, file] = [new ColdStore(SHAPE, 5 * ONE), await filed(5 * ONE)];
    for (const store of [memory, file]) take(store, 0, TOKENS, 0, (block) => block);
    expect([file.bytes, file.fileBytes, file.fileFailure]).toEqual([5 * ONE, 0, expect.stringMatching(/QuotaExceededError.*keep it in memory/)]);
    expect(contentOf(file)).toEqual(contentOf(memory));
    await file.close();
  });

  test("a file that cannot be read any more: the block is gone as a whole, others stay", async () => {
    const store = await filed(20 * ONE);
    take(store, 0, 4 * BLOCK + 2, 0, () => 1);
    opfs.fault.read = new DOMException("lost", "NotReadableError");
    expect([store.restore(0, 0, 9), store.has(9), store.has(0), store.has(33)]).toEqual([undefined, false, true, true]);
    expect(store.restore(1, 1, 33)).toBeDefined(); // its values are in memory
    expect(store.fileFailure).toContain("NotReadableError");
    take(store, 20, 22, 1, () => 1); // a part of block 2 cannot be changed
    expect([store.has(20), store.has(16), store.bytes]).toEqual([false, false, 4 * ONE]);
    await store.close();
  });

  test("memory and file give room back when the limit is lowered", async () => {
    const store = await filed(12 * ONE);
    take(store, 0, TOKENS, 0, (block) => (block * 5) % 12);
    const before = contentOf(store) as { content: unknown[] };
    store.limit(4 * ONE);
    expect([store.bytes, store.fileBytes, opfs.bytes]).toEqual([4 * ONE, 2 * ONE, 2 * ONE]);
    const kept = [...store.blocks].map(({ index }) => index);
    expect(kept.sort((a, b) => a - b)).toEqual([2, 4, 7, 9]); // block * 5 mod 12: 10, 8, 11, 9
    const { content } = contentOf(store) as { content: unknown[] };
    const each = SHAPE.layers * SHAPE.kvHeads;
    for (let position = 0; position < TOKENS; position++)
      if (kept.includes(Math.floor(position / BLOCK)))
        expect(content.slice(position * each, (position + 1) * each)).toEqual(before.content.slice(position * each, (position + 1) * each));
    await store.close();
  });

  test("closed before it was open: nothing is left", async () => {
    const store = new ColdStore(SHAPE, 5 * ONE, openScratchFile);
    const opening = store.open();
    await store.close();
    await opening;
    expect([opfs.files.size, opfs.locks.size]).toEqual([0, 0]);
  });
});

// prompt-intake: a prompt on its way into the store, where the readback of one of its layers fails: none of it is kept, and the store goes on.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { PromptIntake } from "../../../src/cold/prompt-intake";
import { BLOCK, ColdStore, coldBlockBytes } from "../../../src/cold/store";
import type { Gpu } from "../../../src/gpu/device";
import type { Recorder } from "../../../src/gpu/recorder";

const SHAPE = { layers: 3, kvHeads: 2, headSize: 8 };
const TOKENS = 3 * BLOCK - 2;
const PLANE = (SHAPE.kvHeads * TOKENS * SHAPE.headSize) / 2; // words

beforeEach(() => vi.stubGlobal("GPUBufferUsage", { MAP_READ: 1, COPY_DST: 8 }));
afterEach(() => vi.unstubAllGlobals());

/** Takes a prompt in over a GPU whose readbacks of some layers fail. */
async function takenIn(failing: readonly number[]): Promise<ColdStore> {
  let layer = 0;
  const gpu = {
    createBuffer: () => ({}),
    destroyBuffer: () => {},
    map: async () => {
      if (failing.includes(layer)) throw new Error("gone");
      return new Uint32Array(2 * PLANE).fill(0x3c003800 + layer).buffer; // 1 and .5 in 16 bits
    },
  } as unknown as Gpu;
  const recorder = { copy: () => {} } as unknown as Recorder;
  const store = new ColdStore(SHAPE, 20 * coldBlockBytes(SHAPE));
  const intake = new PromptIntake(gpu, store, "test");
  intake.begin({ rows: {} as GPUBuffer, capacity: TOKENS, planeWords: PLANE, tokens: TOKENS }, undefined);
  for (layer = 0; layer < SHAPE.layers; layer++) {
    intake.record(recorder, layer);
    intake.sent();
    await intake.ready();
  }
  return store;
}

test("all layers arrive: all of it is kept", async () => {
  const store = await takenIn([]);
  expect([store.has(0), store.has(TOKENS - 1), store.has(TOKENS)]).toEqual([true, true, false]);
  expect(store.bytes).toBe(3 * coldBlockBytes(SHAPE));
});

test.for(["0", "1", "2", "0 1", "1 2", "0 1 2"])("not that of layer %s: nothing is kept, and what comes later is", async (failing) => {
  const store = await takenIn(failing.split(" ").map(Number));
  expect([[...store.blocks].length, store.bytes, store.has(0)]).toEqual([0, 0, false]);
  const words = new Uint32Array(2 * PLANE);
  for (let layer = 0; layer < SHAPE.layers; layer++) {
    const rows = { words, keysAt: 0, valuesAt: PLANE, capacity: TOKENS };
    store.put(layer, rows, [9, 12], (position) => position, () => 1); // biome-ignore format: one line
  }
  store.finish(9, 12);
  expect([store.bytes, store.has(9), store.restore(2, 1, 11)?.length]).toEqual([coldBlockBytes(SHAPE), true, SHAPE.headSize]);
  store.clear();
  expect([store.bytes, store.numKeys]).toEqual([0, 0]);
});

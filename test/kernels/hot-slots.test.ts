// hot-slots: the positions that pages hold, those held in fewer bits than a guest has, and those of them whose importance rose, bit by bit, against the page
// tables read back.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { hotSlots } from "../../src/kernels/hot-slots";
import { PRESETS } from "../../src/policy/presets";
import { pageLists } from "../reference/page-table";
import { CacheBench } from "./cache-bench";
import { slotFormats } from "./cache-checks";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([
  ["rate-distortion", 8, undefined],
  ["rate-distortion", 4, 12_000],
  ["agacc", 8, undefined],
] as const)("%s after a prompt and some compressions, guests of %d bits, segments of %s bytes", async (name, guestBits, segmentBytes) => {
  const tokens = 240;
  const spec = { ...PRESETS[name].spec, guestBits };
  const bench = new CacheBench(gpu, { D: 32, G: 2, group: 1 }, spec, { tokens, budgetBytes: 32_000, ...(segmentBytes ? { segmentBytes } : {}) });
  await bench.prompt(200);
  for (let i = 0; i < 30; i++) await bench.append(undefined, false);
  const { buffers, plan, policy } = bench.cache;
  const words = Math.ceil(tokens / 32);
  const formats = slotFormats(await bench.words());
  const risen = await markSome(bench);
  let rich = 0;
  for (let layer = 0; layer < 2; layer++) {
    const hot = gpu.createBuffer("Test.hot", 3 * 2 * words * 4, "scratch");
    const op = hotSlots(gpu, plan.geometry, { info: buffers.info, table: buffers.table(layer), hot, formats: policy.formats.length, pool: buffers.pool });
    await gpu.kernels.ready();
    const recorder = gpu.record();
    op.record(recorder);
    recorder.submit();
    const got = new Uint32Array(await gpu.read(hot));
    for (const [head, slots] of (formats[layer] ?? []).entries()) {
      const positionsFrom = (first: number): number[] =>
        Array.from({ length: 32 * words }, (_, at) => at).filter((at) => ((got[first + (at >> 5)] ?? 0) >>> (at & 31)) & 1);
      const held = [...slots.keys()].sort((a, b) => a - b);
      expect(held.length).toBeGreaterThan(20);
      expect(positionsFrom(head * words)).toEqual(held);
      const isDemoted = (position: number): boolean => {
        const { keyBits = 16, valueBits = 16, basis } = policy.formats[slots.get(position) ?? -1] ?? {};
        return basis === "none" || keyBits + valueBits < 2 * guestBits;
      };
      const demoted = held.filter(isDemoted);
      expect(demoted.length).toBeGreaterThan(0);
      expect(positionsFrom((2 + head) * words)).toEqual(demoted);
      const both = demoted.filter((position) => risen.has(position));
      expect(both.length).toBeGreaterThan(0);
      expect(both.length).toBeLessThan(demoted.length);
      expect(positionsFrom((4 + head) * words)).toEqual(both);
      rich += held.length - demoted.length;
    }
    gpu.destroyBuffer(hot);
  }
  expect(rich).toBeGreaterThan(0);
  bench.dispose();
});

/** Sets the bit of a slot whose importance rose in every slot of every third position, which are returned. */
async function markSome(bench: CacheBench): Promise<Set<number>> {
  const words = await bench.words();
  const { buffers, plan, policy } = bench.cache;
  const { pageWords, slotWords, slotsPerPage } = plan.layout;
  const risen = new Set<number>();
  for (let layer = 0; layer < 2; layer++)
    for (const [list, { length, pages }] of pageLists(words, layer).entries()) {
      const format = list % policy.formats.length;
      const slots = slotsPerPage[format] ?? 1;
      for (let index = 0; index < length; index++) {
        const at = (pages[Math.floor(index / slots)] ?? Number.NaN) * pageWords + ((slotWords[format] ?? 1) - 1) * slots + (index % slots);
        const position = (words.pool[at] ?? 0) & 0x7ffff;
        if (position % 3 !== 0) continue;
        words.pool[at] = ((words.pool[at] ?? 0) | 0x80000) >>> 0;
        risen.add(position);
      }
    }
  let from = 0;
  for (const segment of buffers.pool) {
    gpu.write(segment, 0, words.pool.slice(from, from + segment.size / 4));
    from += segment.size / 4;
  }
  return risen;
}

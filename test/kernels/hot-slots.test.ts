// hot-slots: the positions that pages hold, bit by bit, against the page tables read back.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { hotSlots } from "../../src/kernels/hot-slots";
import { CacheBench } from "./cache-bench";
import { slotFormats } from "./cache-checks";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([undefined, 12_000])("after a prompt and some compressions, segments of %s bytes", async (segmentBytes) => {
  const tokens = 240;
  const bench = new CacheBench(gpu, { D: 32, G: 2, group: 1 }, "rate-distortion", { tokens, budgetBytes: 32_000, ...(segmentBytes ? { segmentBytes } : {}) });
  await bench.prompt(200);
  for (let i = 0; i < 30; i++) await bench.append(undefined, false);
  const { buffers, plan, policy } = bench.cache;
  const words = Math.ceil(tokens / 32);
  const formats = slotFormats(await bench.words());
  for (let layer = 0; layer < 2; layer++) {
    const hot = gpu.createBuffer("Test.hot", 2 * words * 4, "scratch");
    const op = hotSlots(gpu, plan.geometry, { info: buffers.info, table: buffers.table(layer), hot, formats: policy.formats.length, pool: buffers.pool });
    await gpu.kernels.ready();
    const recorder = gpu.record();
    op.record(recorder);
    recorder.submit();
    const got = new Uint32Array(await gpu.read(hot));
    for (const [head, slots] of (formats[layer] ?? []).entries()) {
      const positions = Array.from({ length: 32 * words }, (_, at) => at).filter((at) => ((got[head * words + (at >> 5)] ?? 0) >>> (at & 31)) & 1);
      expect(positions.length).toBeGreaterThan(20);
      expect(positions).toEqual([...slots.keys()].sort((a, b) => a - b));
    }
    gpu.destroyBuffer(hot);
  }
  bench.dispose();
});

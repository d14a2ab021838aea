// lift-pages: a layer's pages, in the order of its table, word by word.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { bindLiftPages } from "../../src/kernels/lift-pages";
import { pageLists } from "../reference/page-table";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([undefined, 12_000])("after a prompt and some compressions, segments of %s bytes", async (segmentBytes) => {
  const bench = new CacheBench(gpu, { D: 32, G: 2, group: 1 }, "rate-distortion", {
    tokens: 240,
    budgetBytes: 32_000,
    ...(segmentBytes ? { segmentBytes } : {}),
  });
  await bench.prompt(200);
  for (let i = 0; i < 30; i++) await bench.append(undefined, false);
  const { buffers, plan } = bench.cache;
  expect(buffers.pool.length).toBe(segmentBytes ? 3 : 1);
  const words = await bench.words();
  for (let layer = 0; layer < 2; layer++) {
    const lifted = gpu.createBuffer("Test.lifted", plan.maxPages * plan.layout.pageBytes, "scratch");
    const op = bindLiftPages(gpu, plan.geometry, {
      info: buffers.info,
      table: buffers.table(layer),
      lifted,
      pool: buffers.pool,
      pages: plan.pages[layer] ?? 0,
    });
    await gpu.kernels.ready();
    const recorder = gpu.record();
    op.record(recorder);
    recorder.submit();
    const got = new Uint32Array(await gpu.read(lifted));
    const pages = pageLists(words, layer).flatMap((list) => list.pages);
    expect(pages.length).toBeGreaterThan(4);
    pages.forEach((page, index) => {
      const { pageWords } = plan.layout;
      expect(got.subarray(index * pageWords, (index + 1) * pageWords)).toEqual(words.pool.subarray(page * pageWords, (page + 1) * pageWords));
    });
    gpu.destroyBuffer(lifted);
  }
  bench.dispose();
});

// lift-pages: a layer's pages, in the order of its table, word by word; and the rows of a coded ring in f16.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { bindLiftPages } from "../../src/kernels/lift-pages";
import { pageLists, slotsInRing } from "../reference/page-table";
import { unpackHalves } from "../reference/rope";
import { expectClose, tolerances } from "../tolerances";
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
    const opened = gpu.createBuffer("Test.opened", 2 * plan.openPlane * 4, "scratch");
    const op = bindLiftPages(gpu, plan.geometry, {
      info: buffers.info,
      table: buffers.table(layer),
      lifted,
      pool: buffers.pool,
      pages: plan.pages[layer] ?? 0,
      ring: { coded: buffers.ringRows(layer), opened, slots: plan.ringSlots },
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
    const rows = new Uint32Array(await gpu.read(opened));
    for (let head = 0; head < 2; head++)
      for (const { position, key, value } of slotsInRing(words, layer, head, bench.cache.tokens, bench.cache.ringStart(layer))) {
        const row = position < bench.policy.sinks ? position : bench.policy.sinks + (position % bench.policy.ring);
        const at = ((head * plan.ringSlots + row) * 32) / 2;
        expectClose(unpackHalves(rows.slice(at, at + 16)), key, tolerances.half);
        expectClose(unpackHalves(rows.slice(plan.openPlane + at, plan.openPlane + at + 16)), value, tolerances.half);
      }
    for (const buffer of [lifted, opened]) gpu.destroyBuffer(buffer);
  }
  bench.dispose();
});

// importance-levels: candidates of at least every level, pinned ones at the top, rows before and after the candidates left out.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { bindImportanceLevels, LEVELS } from "../../src/kernels/importance-levels";
import { gaussian, seeded } from "../reference/scoring-case";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([1, 63, 64, 65, 500])("%d candidates", async (count) => {
  const G = 3;
  const [firstRow, stride] = [5, count + 9];
  const bench = new CacheBench(gpu, { D: 16, G, group: 1 }, { precision: { kind: "evict-only" }, pinned: [[0, 10]] }, { tokens: 40, budgetBytes: 30_000 });
  const normal = gaussian(seeded(count));
  // In the middle of a stored level, so that f32's logarithm cannot round to its neighbour; from below the least one to above the greatest.
  const codes = Array.from({ length: G * stride }, () => Math.round(2000 + 900 * normal()));
  const importance = gpu.createBuffer("Test.importance", G * stride * 4, "scratch");
  gpu.write(
    importance,
    0,
    Float32Array.from(codes, (code) => 2 ** (code / 128 - 28)),
  );
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const step = gpu.createBuffer("Test.step", 64, "scratch", { usage });
  gpu.write(step, 0, new Uint32Array([count, firstRow, firstRow, 0, 0, stride, 0, count, stride, 1, 0, 0, 0]));
  const levels = gpu.createBuffer("Test.levels", G * LEVELS * 4, "scratch");
  const op = bindImportanceLevels(gpu, bench.cache.plan.geometry, { info: bench.cache.buffers.info, step, importance, levels });
  await gpu.kernels.ready();
  const recorder = gpu.record();
  op.record(recorder);
  recorder.submit();
  const got = new Uint32Array(await gpu.read(levels));
  for (let head = 0; head < G; head++) {
    const found = Array.from({ length: count }, (_, j) => {
      const code = Math.min(4095, Math.max(0, codes[head * stride + firstRow + j]!));
      return firstRow + j < 10 ? LEVELS - 1 : Math.floor(code / 2);
    });
    const want = Uint32Array.from({ length: LEVELS }, (_, level) => found.filter((own) => own >= level).length);
    expect(got.subarray(head * LEVELS, (head + 1) * LEVELS)).toEqual(want);
  }
  for (const buffer of [importance, step, levels]) gpu.destroyBuffer(buffer);
  bench.dispose();
});

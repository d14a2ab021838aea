// head-signal: queries as they are and the log-sum-exp of all slots attended to, against softmaxes in f64 over every slot read back.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { headSignal } from "../../src/kernels/head-signal";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([3, 300])("after a prompt of %i tokens", async (prompt) => {
  const [D, G, group] = [32, 2, 3];
  const bench = new CacheBench(gpu, { D, G, group, layers: 1 }, "rate-distortion", { tokens: prompt + 4, budgetBytes: 4 * prompt * G * D + 8192 });
  await bench.prompt(prompt);
  const { units, partials, plan } = bench.cache.buffers;
  const signal = gpu.createBuffer("Test.signal", G * group * (D + 1) * 4, "scratch");
  const op = headSignal(gpu, plan.geometry, { units, partials, signal, rotated: bench.decode.rotated });
  await gpu.kernels.ready();
  await bench.append();
  const recorder = gpu.record();
  op.record(recorder);
  recorder.submit();
  const got = new Float32Array(await gpu.read(signal));
  const queries = new Float32Array(await gpu.read(bench.decode.rotated));
  expect(got.subarray(0, G * group * D)).toEqual(queries);
  const words = await bench.words();
  const want = Array.from({ length: G * group }, (_, h) => {
    const query = queries.subarray(h * D, (h + 1) * D);
    const slots = bench.slots(words, 0, Math.floor(h / group));
    const logits = slots.map(({ key }) => key.reduce((sum, k, c) => sum + (k * (query[c] ?? 0)) / Math.sqrt(D), 0));
    return Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  });
  expectClose(got.subarray(G * group * D), want, tolerances.headSignal);
  gpu.destroyBuffer(signal);
  bench.dispose();
});

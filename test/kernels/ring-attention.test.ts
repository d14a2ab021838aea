// ring-attention: mean attention, and the most, that the ring's rows get while tokens are decoded over a compressed cache, against softmaxes over every slot read back.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { ringAttention } from "../../src/kernels/ring-attention";
import { softmax } from "../reference/expected-attention";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([
  ["a compressed prompt", { prompt: 150, tokens: 14, most: false, every: 1, ringBits: 8 }],
  ["no more than the sinks", { prompt: 3, tokens: 12, most: false, every: 1, ringBits: 16 }],
  ["a compressed prompt, the most of any head", { prompt: 70, tokens: 12, most: true, every: 1, ringBits: 8 }],
  ["a compressed prompt, every second token", { prompt: 150, tokens: 24, most: false, every: 2, ringBits: 16 }],
  ["a compressed prompt, every third, the most of any head", { prompt: 70, tokens: 24, most: true, every: 3, ringBits: 8 }],
] as const)("%s, then more tokens than the ring holds", async (_, { prompt, tokens, most, every, ringBits }) => {
  const [D, G, group, ring] = [32, 2, 3, 9];
  const budgetBytes = 4 * prompt * G * D + 8192;
  const bench = new CacheBench(
    gpu,
    { D, G, group, layers: 1 },
    { precision: { kind: "rate-distortion" }, ring, ringBits },
    { tokens: prompt + tokens, budgetBytes },
  );
  await bench.prompt(prompt);
  const { cache, decode } = bench;
  const { info, units, partials, plan } = cache.buffers;
  const { sinks } = bench.policy;
  const begun = gpu.createBuffer("Test.begun", 16, "scratch", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  gpu.write(begun, 0, new Uint32Array([prompt, most ? 1 : 0, every]));
  const received = gpu.createBuffer("Test.received", G * plan.ringSlots * 4, "scratch");
  gpu.write(received, 0, new Float32Array(G * plan.ringSlots).fill(1e6)); // what a row held before is nobody's
  const op = ringAttention(gpu, plan.geometry, { info, units, partials, begun, received, ring: cache.buffers.ringRows(0), ...decode });
  await gpu.kernels.ready();
  const paid = new Map<string, number[]>(); // by head and position, by each query
  for (let n = 0; n < tokens; n++) {
    await bench.append();
    if ((prompt + n) % every !== 1 % every) continue; // a row's own token may be one that is not counted
    const recorder = gpu.record();
    op.record(recorder);
    recorder.submit();
    const got = new Float32Array(await gpu.read(received));
    const queries = new Float32Array(await gpu.read(decode.rotated));
    const words = await bench.words();
    for (let g = 0; g < G; g++) {
      const slots = bench.slots(words, 0, g);
      const rows = Array.from({ length: group }, (_, h) => {
        const query = queries.subarray((g * group + h) * D, (g * group + h + 1) * D);
        return softmax(slots.map(({ key }) => key.reduce((sum, k, i) => sum + k * query[i]!, 0) / Math.sqrt(D)));
      });
      slots.forEach(({ position, format }, slot) => {
        if (format >= 0 || position < sinks) return;
        const name = `${g} ${position}`;
        const parts = rows.map((row) => row[slot]!);
        paid.set(name, [...(paid.get(name) ?? []), most ? Math.max(...parts) : parts.reduce((sum, part) => sum + part / group, 0)]);
      });
      const inRing = slots.filter(({ position, format }) => format < 0 && position >= sinks);
      if (prompt > sinks || n > 0) expect(inRing.length).toBeGreaterThan(0);
      const all = inRing.map(({ position }) => paid.get(`${g} ${position}`)!);
      const want = all.map((each) => (most ? Math.max(...each) : each.reduce((sum, p) => sum + p / each.length, 0)));
      const at = inRing.map(({ position }) => got[g * plan.ringSlots + sinks + (position % ring)]!);
      expectClose(at, want, tolerances.attention);
    }
  }
  bench.dispose();
  for (const buffer of [begun, received]) gpu.destroyBuffer(buffer);
});

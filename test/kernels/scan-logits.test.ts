// scan-logits: the largest of each slice, its lowest id, and which slice holds a NaN.

import { afterAll, describe, expect, test } from "vitest";
import { bindScanLogits, SLICE_BYTES, sliceLength, slicesOf, WINDOW } from "../../src/kernels/scan-logits";
import { normals, run, upload } from "./fixtures";
import { hardwareLikeGpu, testGpu } from "./gpu";

describe.each([
  ["software", testGpu],
  ["hardware", hardwareLikeGpu],
] as const)("scan-logits as on %s adapters", async (_, open) => {
  const gpu = await open();
  afterAll(() => gpu.dispose());

  test.each([1, 63, 1024, 1025, 8191, 8192, 8193, 20001])("V %d", async (vocab) => {
    const logits = normals(vocab, vocab);
    const count = slicesOf(gpu, vocab);
    const length = sliceLength(gpu);
    const slices = gpu.createBuffer("Test.slices", count * SLICE_BYTES, "scratch");
    const options = gpu.createBuffer("Test.options", 32, "scratch", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    gpu.write(options, 16, Float32Array.of(1));
    logits[vocab - 1] = Number.NaN;
    const op = bindScanLogits(gpu, { vocab, sampling: options, recent: upload(gpu, new Uint32Array(WINDOW)), logits: upload(gpu, logits), slices });
    await run(gpu, (recorder) => op.record(recorder));
    const bytes = await gpu.read(slices);
    const [floats, words] = [new Float32Array(bytes), new Uint32Array(bytes)];
    for (let slice = 0; slice < count; slice++) {
      const part = [...logits.subarray(slice * length, (slice + 1) * length)].map((value) => (Number.isNaN(value) ? -3.4e38 : value));
      const top = part.reduce((a, b) => Math.max(a, b));
      expect(words[3 * slice + 2], "bad").toBe(slice === count - 1 ? 1 : 0);
      if (part.length === 1 && slice === count - 1) continue; // nothing but the NaN
      expect(floats[3 * slice]).toBe(Math.fround(top));
      expect(words[3 * slice + 1]).toBe(slice * length + part.indexOf(top));
    }
  });
});

// divergence: far and near distributions, a constant between them, sharp ones, odd vocabularies, and logits that are no numbers.

import { afterAll, describe, expect, test } from "vitest";
import { bindDivergence, DIVERGENCE_BYTES, type Divergence, readDivergence } from "../../src/kernels/divergence";
import { divergence, logSoftmax } from "../reference/divergence";
import { expectClose, tolerances } from "../tolerances";
import { normals, run, upload } from "./fixtures";
import { hardwareLikeGpu, testGpu } from "./gpu";

describe.each([
  ["software", testGpu],
  ["hardware", hardwareLikeGpu],
] as const)("divergence as on %s adapters", async (_, open) => {
  const gpu = await open();
  afterAll(() => gpu.dispose());

  test.each([
    ["far", 3072, 1, 0],
    ["near", 49152, 1e-2, 0],
    ["nearly equal: a KL of 1e-7", 49152, 4e-4, 0],
    ["nearly equal and shifted", 49152, 4e-4, 7.5],
    ["a shift and nothing else", 1000, 0, 3],
    ["one more than the workgroup", 65, 0.3, 0],
    ["one less", 63, 3, 0],
  ])("%s, V %d", async (_, vocab, distance, shift) => {
    const full = normals(vocab, vocab, 1).map((value) => value * 2);
    const noise = normals(vocab + 1, vocab, 1);
    const compressed = full.map((value, id) => Math.fround(value + shift + distance * (noise[id] as number)));
    const id = vocab >> 1;
    const got = await measure(compressed, full, id);
    const [q, p] = [logSoftmax(compressed), logSoftmax(full)];
    expectClose([got.logprob, got.fullLogprob], [q[id], p[id]] as number[], tolerances.logprob);
    if (distance === 4e-4) expect(divergence(compressed, full)).toBeGreaterThan(5e-8); // the noise is not lost on one favourite
    expectClose([got.kl], [divergence(compressed, full)], tolerances.kl);
    expect(got.first).toBe(q.indexOf(q.reduce((a, b) => Math.max(a, b))));
    expect(got.fullFirst).toBe(p.indexOf(p.reduce((a, b) => Math.max(a, b))));
    expect(got.top1).toBe(got.first === got.fullFirst);
  });

  test("disjoint favourites far apart stay finite", async () => {
    const full = new Float32Array(100).fill(-60);
    const compressed = full.slice();
    full[3] = 80;
    compressed[90] = 80;
    const got = await measure(compressed, full, 3);
    expectClose([got.kl, got.logprob, got.fullLogprob], [divergence(compressed, full), -140, 0], tolerances.logprob);
    expect([got.first, got.fullFirst, got.top1]).toEqual([90, 3, false]);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("%d among the logits is told", async (value) => {
    const full = normals(1, 3072);
    const bad = full.slice();
    bad[2000] = value;
    await expect(measure(bad, full, 1)).rejects.toThrow("NaN or infinity");
    await expect(measure(full, bad, 1)).rejects.toThrow("NaN or infinity");
  });

  async function measure(compressed: Float32Array, full: Float32Array, id: number): Promise<Divergence> {
    const result = gpu.createBuffer("Test.result", DIVERGENCE_BYTES, "scratch");
    const args = { vocab: full.length, logits: upload(gpu, compressed), fullLogits: upload(gpu, full), next: upload(gpu, Uint32Array.of(id)), result };
    const op = bindDivergence(gpu, args);
    await run(gpu, (recorder) => op.record(recorder));
    return readDivergence(await gpu.read(result));
  }
});

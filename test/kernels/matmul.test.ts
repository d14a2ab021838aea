// matmul: every kind of weight, ragged rows and tokens, shards, stacks, bias, residual and gates, against f64.

import { afterAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { bindMatmul } from "../../src/kernels/matmul";
import { bindMatvec } from "../../src/kernels/matvec";
import type { ProductArgs } from "../../src/kernels/product";
import type { Vector, WeightKind } from "../../src/model/weights";
import { matmul, silu } from "../reference/matmul";
import { expectClose, tolerances } from "../tolerances";
import { normals, readFloats, run, stepOf, testWeight, unwritten, upload } from "./fixtures";
import { hardwareLikeGpu, testGpu } from "./gpu";

const KINDS: readonly WeightKind[] = ["f32", "f16", "bf16", "q8", "q4", "q5", "q6"];

test("matmul without subgroups, 4 tokens a lane, 7 and 9 tokens", async () => {
  const gpu = await testGpu(["subgroups", "shader-f16"]); // one shape only: lavapipe takes 10 s to compile this form
  await plain(gpu);
});

test("matmul as on hardware adapters, 8 tokens a lane, 7 and 9 tokens", async () => {
  await plain(await hardwareLikeGpu());
});

async function plain(gpu: Gpu): Promise<void> {
  const { weight, values } = testWeight(gpu, "q4", 70, 64);
  for (const tokens of [7, 9]) {
    const x = normals(tokens, tokens * 64);
    expectClose(await product(gpu, { weights: [weight] }, x, tokens, 70), matmul(x, values, tokens, 70, 64), tolerances.product);
  }
  gpu.dispose();
}

describe("matmul", async () => {
  const gpu = await testGpu();
  afterAll(() => gpu.dispose());

  test.each(KINDS)("%s, 9 tokens, 100 rows", async (kind) => {
    const { weight, values } = testWeight(gpu, kind, 100, 96);
    const x = normals(2, 9 * 96);
    expectClose(await product(gpu, { weights: [weight] }, x, 9, 100), matmul(x, values, 9, 100, 96), tolerances.product);
  });

  test.each([1, 7, 8, 9, 63, 64, 65])("%d tokens, 65 rows", async (tokens) => {
    const { weight, values } = testWeight(gpu, "q4", 65, 64);
    const x = normals(tokens, tokens * 64);
    expectClose(await product(gpu, { weights: [weight] }, x, tokens, 65), matmul(x, values, tokens, 65, 64), tolerances.product);
  });

  test("a stack of two kinds, one of them sharded, with a bias", async () => {
    const first = testWeight(gpu, "q6", 130, 64, { shardRows: 64 });
    const second = testWeight(gpu, "q8", 33, 64);
    const x = normals(5, 10 * 64);
    const add = normals(6, 163);
    const bias: Vector = { name: "bias", length: 163, buffer: upload(gpu, add) };
    const got = await product(gpu, { weights: [first.weight, second.weight], bias }, x, 10, 163);
    const want = matmul(x, [...first.values, ...second.values], 10, 163, 64).map((value, i) => value + (add[i % 163] as number));
    expectClose(got, want, tolerances.product);
  });

  test.each([
    ["one buffer", {}],
    ["shards that end inside the gates", { shardRows: 64 }],
  ])("gate and up, %s", async (_, shards) => {
    const { weight, values } = testWeight(gpu, "q4", 2 * 75, 64, shards);
    const x = normals(7, 11 * 64);
    const both = matmul(x, values, 11, 150, 64);
    const want = Float64Array.from({ length: 11 * 75 }, (_, i) => {
      const at = Math.floor(i / 75) * 150 + (i % 75);
      return silu(both[at] as number) * (both[at + 75] as number);
    });
    expectClose(await product(gpu, { weights: [weight], mode: "gate-up" }, x, 11, 75), want, tolerances.product);
  });

  test("residual in place, rows counted from the step's first", async () => {
    const { weight, values } = testWeight(gpu, "q5", 70, 32);
    const x = normals(8, 6 * 32);
    const before = normals(9, 12 * 70);
    const output = upload(gpu, before);
    const op = bindMatmul(gpu, {
      weights: [weight],
      step: stepOf(gpu, { tokens: 6, firstRow: 3 }),
      input: upload(gpu, x),
      output,
      mode: "add",
      outputAtStep: true,
    });
    await run(gpu, (recorder) => op.record(recorder, 6));
    const sums = matmul(x, values, 6, 70, 32);
    const want = Float64Array.from(before, (value, i) => value + (sums[i - 3 * 70] ?? 0));
    expectClose(await readFloats(gpu, output), want, tolerances.product);
  });

  test("input rows counted from the step's first", async () => {
    const { weight, values } = testWeight(gpu, "q4", 64, 32);
    const x = normals(10, 8 * 32);
    const output = unwritten(gpu, 3 * 64);
    const op = bindMatmul(gpu, { weights: [weight], step: stepOf(gpu, { tokens: 3, firstRow: 5 }), input: upload(gpu, x), output, inputAtStep: true });
    await run(gpu, (recorder) => op.record(recorder, 3));
    expectClose(await readFloats(gpu, output), matmul(x.subarray(5 * 32), values, 3, 64, 32), tolerances.product);
  });

  test("columns that do not fit are refused, and recording makes no object", async () => {
    const { weight } = testWeight(gpu, "q4", 64, 32);
    const other = testWeight(gpu, "q4", 64, 64).weight;
    const args = { step: stepOf(gpu, { tokens: 1 }), input: unwritten(gpu, 64), output: unwritten(gpu, 128) };
    expect(() => bindMatmul(gpu, { ...args, weights: [weight, other] })).toThrow("columns 32,64");
    const op = bindMatvec(gpu, { ...args, weights: [weight] });
    await gpu.kernels.ready();
    const created = gpu.objectsCreated;
    await run(gpu, (recorder) => op.record(recorder, 1));
    expect(gpu.objectsCreated).toBe(created);
  });
});

async function product(
  gpu: Gpu,
  args: Omit<ProductArgs, "step" | "input" | "output">,
  x: Float32Array,
  tokens: number,
  outCols: number,
): Promise<Float32Array> {
  const output = unwritten(gpu, tokens * outCols);
  const op = bindMatmul(gpu, { ...args, step: stepOf(gpu, { tokens }), input: upload(gpu, x), output });
  await run(gpu, (recorder) => op.record(recorder, tokens));
  return readFloats(gpu, output);
}

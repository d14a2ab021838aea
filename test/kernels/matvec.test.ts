// matvec: every kind of weight for one token, with and without split columns, and the modes of the epilogue, against f64.

import { afterAll, describe, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { bindMatvec, squaresOf } from "../../src/kernels/matvec";
import type { ProductArgs } from "../../src/kernels/product";
import type { Vector, WeightKind } from "../../src/model/weights";
import { matmul, silu } from "../reference/matmul";
import { rmsNorm } from "../reference/rms-norm";
import { expectClose, tolerances } from "../tolerances";
import { normals, readFloats, run, stepOf, testWeight, unwritten, upload } from "./fixtures";
import { hardwareLikeGpu, testGpu } from "./gpu";

const KINDS: readonly WeightKind[] = ["f32", "f16", "bf16", "q8", "q4", "q5", "q6"];

const splits = [1, 3, 8];

test.each([1, undefined])("matvec as on hardware adapters, %s slices", async (split) => {
  const gpu = await hardwareLikeGpu(); // one shape only: lavapipe compiles this form slowly
  const { weight, values } = testWeight(gpu, "q4", 70, 160);
  const x = normals(3, 160);
  const before = normals(4, 4 * 70);
  const want = Float64Array.from(before);
  want.set(matmul(x, values, 1, 70, 160), 2 * 70);
  expectClose(await product(gpu, { weights: [weight] }, x, before, split), want, tolerances.product);
  if (split === undefined) {
    const { got, exact } = await normOnTheWay(gpu, 160, 160);
    expectClose(got, exact, tolerances.product);
  }
  gpu.dispose();
});

describe("matvec", async () => {
  const gpu = await testGpu();
  afterAll(() => gpu.dispose());

  test.each(KINDS.map((kind, i) => [kind, splits[i % 3] as number] as const))("%s in %d slices", async (kind, split) => {
    const { weight, values } = testWeight(gpu, kind, 129, 160);
    const x = normals(3, 160);
    const before = normals(4, 4 * 129);
    const want = Float64Array.from(before);
    want.set(matmul(x, values, 1, 129, 160), 2 * 129);
    expectClose(await product(gpu, { weights: [weight] }, x, before, split), want, tolerances.product);
  });

  test.each(splits)("gate and up in %d slices", async (split) => {
    const { weight, values } = testWeight(gpu, "q4", 2 * 65, 64);
    const x = normals(5, 64);
    const both = matmul(x, values, 1, 130, 64);
    const want = Float64Array.from(normals(6, 4 * 65));
    for (let i = 0; i < 65; i++) want[2 * 65 + i] = silu(both[i] as number) * (both[65 + i] as number);
    expectClose(await product(gpu, { weights: [weight], mode: "gate-up" }, x, normals(6, 4 * 65), split), want, tolerances.product);
  });

  test.each(splits)("shards, bias and residual in %d slices", async (split) => {
    const { weight, values } = testWeight(gpu, "q8", 140, 1536, { shardRows: 64 });
    const x = normals(7, 1536);
    const before = normals(8, 4 * 140);
    const add = normals(9, 140);
    const bias: Vector = { name: "bias", length: 140, buffer: upload(gpu, add) };
    const want = Float64Array.from(before);
    matmul(x, values, 1, 140, 1536).forEach((sum, i) => {
      want[2 * 140 + i]! += sum + (add[i] as number);
    });
    expectClose(await product(gpu, { weights: [weight], bias, mode: "add" }, x, before, split), want, tolerances.product);
  });

  test.each([
    [1, 160, 160],
    [3, 192, 64],
    [8, 576, 192],
  ])("an RMS norm between two products, in %d slices, %d columns in shards of %d", async (split, hidden, shardRows) => {
    const { got, exact } = await normOnTheWay(gpu, hidden, shardRows, split);
    expectClose(got, exact, tolerances.product);
  });
});

/** h += A x; y = B rmsNorm(h): by two products that do the norm on the way, and in f64; last, y of gates and ups. */
async function normOnTheWay(gpu: Gpu, hidden: number, shardRows: number, split?: number): Promise<{ got: number[]; exact: number[] }> {
  const [before, x, gain] = [normals(11, hidden), normals(12, 96), normals(13, hidden)];
  const first = testWeight(gpu, "q8", hidden, 96, { shardRows });
  const second = testWeight(gpu, "q4", 130, hidden, { seed: 2 });
  const bias = normals(14, 130);
  const epsilon = 1e-2; // large enough to show
  const step = stepOf(gpu, { tokens: 1 });
  const [state, scaled, y, gated] = [upload(gpu, before), unwritten(gpu, hidden), unwritten(gpu, 130), unwritten(gpu, 65)];
  const squares = unwritten(gpu, squaresOf([first.weight]));
  const writer = {
    weights: [first.weight],
    step,
    input: upload(gpu, x),
    output: state,
    mode: "add",
    normOut: { gain: upload(gpu, gain), scaled, squares },
  } as const;
  const reader = { weights: [second.weight], step, input: scaled, normIn: { squares, epsilon } };
  const ops = [
    bindMatvec(gpu, writer, split),
    bindMatvec(gpu, { ...reader, output: y, bias: { name: "bias", length: 130, buffer: upload(gpu, bias) } }, split),
    bindMatvec(gpu, { ...reader, output: gated, mode: "gate-up" }, split),
  ];
  await run(gpu, (recorder) => {
    for (const op of ops) op.record(recorder, 1);
  });
  const sum = matmul(x, first.values, 1, hidden, 96).map((value, c) => value + (before[c] ?? Number.NaN));
  const plain = matmul(rmsNorm(sum, gain, 1, hidden, epsilon), second.values, 1, 130, hidden);
  const exact = [
    sum,
    plain.map((value, i) => value + (bias[i] ?? Number.NaN)),
    Float64Array.from({ length: 65 }, (_, i) => silu(plain[i] ?? 0) * (plain[65 + i] ?? 0)),
  ];
  const got = [await readFloats(gpu, state), await readFloats(gpu, y), await readFloats(gpu, gated)];
  return { got: got.flatMap((part) => [...part]), exact: exact.flatMap((part) => [...part]) };
}

/** Writes into row 2 of an output whose rows 0..3 held `before`. */
async function product(
  gpu: Gpu,
  args: Omit<ProductArgs, "step" | "input" | "output">,
  x: Float32Array,
  before: Float32Array,
  split?: number,
): Promise<Float32Array> {
  const output = upload(gpu, before);
  const op = bindMatvec(gpu, { ...args, step: stepOf(gpu, { tokens: 1, firstRow: 2 }), input: upload(gpu, x), output, outputAtStep: true }, split);
  await run(gpu, (recorder) => op.record(recorder, 1));
  return readFloats(gpu, output);
}

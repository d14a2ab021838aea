// projected-norms: |W_o v| through the Gram matrix, in CriticalKV's scores of a prompt and in those of the ring; and what kvpress's CriticalKV keeps.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { projectedNorms } from "../../src/kernels/projected-norms";
import { type Dims, keepSet, type Numbers, norm } from "../reference/expected-attention";
import { goldenDims, goldenFuture, goldenInputs, goldenKeep, goldenRope } from "../reference/kvpress-golden";
import { critical, outputGram, projectedNorm } from "../reference/scorers/critical";
import { snapkv } from "../reference/scorers/window";
import { gaussian, rotateRows, scoringCase, seeded } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { stepOf } from "./fixtures";
import { testGpu } from "./gpu";
import { KernelBench, scorePrompt, uploadSlots } from "./score-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

/** Over the root of the layer's mean gain, which is the Gram matrices' mean diagonal. */
function relativeNorm(values: Numbers, gram: Float64Array, { T, G, D }: Dims): Float64Array {
  let gain = 0;
  for (let n = 0; n < G * D; n++) gain += gram[n * D + (n % D)]! / (G * D);
  return projectedNorm(values, gram, { T, G, D }).map((size) => size / Math.sqrt(gain));
}

/** Grams of two layers, the first of which is nobody's. */
function gramsOf({ H, G, D }: Dims, hidden = 40): { readonly both: number[]; readonly gram: Float64Array } {
  const normal = gaussian(seeded(5));
  const output = Float64Array.from({ length: hidden * H * D }, () => Math.fround(0.1 * normal()));
  const gram = outputGram(output, hidden, { H, G, D }).map(Math.fround);
  return { both: [...gram.map((x) => 10 * x), ...gram], gram };
}

test("CriticalKV's scores of a prompt", async () => {
  const dims: Dims = { T: 65, H: 6, G: 2, D: 32, sinks: 4 };
  const { T, H, G, D, sinks } = dims;
  const given = scoringCase(dims, "half");
  const { both, gram } = gramsOf(dims);
  const [window, epsilon] = [20, 0.01];
  const { importance } = await scorePrompt(gpu, given, { kind: "critical", window, epsilon }, { outputGrams: both });
  const options = { queries: given.rotated.subarray((T - window) * H * D), window, keys: given.keys, pool: "max", kernel: 7, keepWindow: true } as const;
  const base = snapkv(options, dims);
  const norms = relativeNorm(given.values, gram, dims);
  for (let g = 0; g < G; g++) {
    const each = (from: ArrayLike<number>): number[] => Array.from(from).slice(g * T + sinks, g * T + T - window);
    expectClose(each(importance), each(base.map((score, n) => (score + epsilon) * norms[n]!)), tolerances.score);
    expect(Math.min(...importance.subarray((g + 1) * T - window, (g + 1) * T))).toBeGreaterThan(Math.max(...norms));
  }
});

test("norms of the ring's rows, as layer 1", async () => {
  const bench = new KernelBench(await testGpu());
  const dims: Dims = { T: 13, H: 6, G: 2, D: 64, sinks: 4 };
  const { T, G, D, sinks } = dims;
  const { values } = scoringCase(dims, "half");
  const { both, gram } = gramsOf(dims);
  const layer = bench.keep(bench.gpu.createBuffer("test.layer", 16, "scratch", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST }));
  bench.gpu.write(layer, 0, new Uint32Array([1]));
  const norms = bench.floats(G * T);
  const range = { step: bench.keep(stepOf(bench.gpu, { firstPosition: 40, context: 9 })), slots: T, sinks };
  const rows = bench.keep(uploadSlots(bench.gpu, values, { T, G, D }, T, "f16"));
  const op = projectedNorms(bench.gpu, { kvHeads: G, headSize: D }, { range, layer, values: rows, grams: bench.floats(both), norms, storage: "f16" });
  expectClose(await bench.run(op, norms, G * T), relativeNorm(values, gram, dims), tolerances.score);
  bench.dispose();
});

/** kvpress.md 5.2: CriticalKV over Expected Attention without its value norm. */
const KEPT = [
  [0, 1, 2, 3, 5, 6, 10, 13, 14, 15, 19, 20],
  [0, 1, 2, 3, 4, 5, 9, 10, 14, 17, 18, 23],
];

test("kvpress's keep-sets of CriticalKV, from the kernels' Expected Attention and L1 norms", async () => {
  const inputs = goldenInputs();
  const { T, G, D } = goldenDims;
  const given = { dims: goldenDims, rope: goldenRope, ...inputs, rotated: rotateRows(inputs.queries, goldenRope, goldenDims) };
  const scoring = { kind: "expected-attention", valueNorm: false, futurePositions: goldenFuture } as const;
  const { importance } = await scorePrompt(gpu, given, scoring, { storage: "f32" });
  const l1 = Float64Array.from({ length: G * T }, (_, row) => inputs.values.subarray(row * D, (row + 1) * D).reduce((sum, v) => sum + Math.abs(v), 0));
  const l2 = Float64Array.from({ length: G * T }, (_, row) => norm(inputs.values, row * D, D));
  const scores = (weights: Float64Array): Float64Array => critical(importance, weights, { keep: goldenKeep }, goldenDims);
  for (const [g, kept] of KEPT.entries()) {
    expect(keepSet(scores(l1), g, goldenKeep, goldenDims)).toEqual(kept);
    // The L2 norm, which a Gram matrix gives without projecting every value, changes one slot of 24.
    expect(keepSet(scores(l2), g, goldenKeep, goldenDims).filter((t) => kept.includes(t)).length).toBeGreaterThanOrEqual(goldenKeep - 1);
  }
});

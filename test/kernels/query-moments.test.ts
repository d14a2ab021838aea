// query-moments: sums over a chunk's queries against the f64 mean and covariance, also where the mean dwarfs the spread.

import { afterAll, beforeAll, test } from "vitest";
import { StepBuffer } from "../../src/gpu/step";
import { queryMoments } from "../../src/kernels/query-moments";
import { type Dims, queryMoments as reference } from "../reference/expected-attention";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each<[string, Dims, number]>([
  ["64 queries of 3 heads", { T: 64, H: 3, G: 1, D: 64, sinks: 4 }, 0.5],
  ["no sinks, head size 8", { T: 24, H: 4, G: 2, D: 8, sinks: 0 }, 0.5],
  ["head size 80: a row block half used", { T: 63, H: 2, G: 2, D: 80, sinks: 4 }, 0.5],
  ["head size 128: two column blocks", { T: 65, H: 1, G: 1, D: 128, sinks: 0 }, 0.5],
  ["means a thousand deviations away", { T: 130, H: 2, G: 1, D: 32, sinks: 4 }, 1000],
])("%s", async (_, dims, offset) => {
  const { T, H, G, D, sinks } = dims;
  const given = scoringCase(dims, "half", { offset });
  const width = (H + 2 * G) * D;
  const want = reference(given.queries, dims);
  const step = new StepBuffer(bench.gpu, "test");
  const pivotRow = given.queries.subarray(sinks * H * D, (sinks + 1) * H * D);
  const [pivot, sums, qkv] = [bench.floats(pivotRow), bench.floats(H * (D + 1) * D), bench.floats(T * width)];
  const op = queryMoments(
    bench.gpu,
    { heads: H, kvHeads: G, headSize: D, rope: given.rope },
    { step: step.buffer, params: bench.params(dims), qkv, pivot, sums },
  );
  // Two chunks: sums go on; the second does not start at row 0.
  for (const [first, end] of [
    [0, 20],
    [20, T],
  ] as const) {
    step.write({ tokens: end - first, firstRow: first });
    const rows = Float32Array.from({ length: (end - first) * width }, (_, n) =>
      n % width < H * D ? given.queries[(first + Math.floor(n / width)) * H * D + (n % width)]! : Number.NaN,
    );
    bench.gpu.write(qkv, 0, rows);
    await bench.run(op, sums, 1);
  }
  const got = await bench.read(sums, H * (D + 1) * D);
  const offsetOf = (h: number, i: number): number => got[(h * (D + 1) + D) * D + i]! / (T - sinks);
  const upper = Array.from({ length: H * D * D }, (_, n) => [Math.floor(n / D / D), Math.floor(n / D) % D, n % D] as const).filter(([, i, j]) => i <= j);
  expectClose(
    Float64Array.from({ length: H * D }, (_, n) => pivotRow[n]! + offsetOf(Math.floor(n / D), n % D)),
    want.mean,
    tolerances.moments,
  );
  const covariance = upper.map(([h, i, j]) => got[(h * (D + 1) + i) * D + j]! / (T - sinks) - offsetOf(h, i) * offsetOf(h, j));
  expectClose(
    covariance,
    upper.map(([h, i, j]) => want.covariance[(h * D + i) * D + j]!),
    tolerances.moments,
  );
  step.dispose();
});

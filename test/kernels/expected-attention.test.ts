// expected-attention: log-scores of keys under given moments, at both sides of a block of 256 slots.

import { afterAll, beforeAll, test } from "vitest";
import { expectedAttention } from "../../src/kernels/expected-attention";
import { type Dims, expectedLogits, queryMoments } from "../reference/expected-attention";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench, uploadSlots } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each<[Dims]>([
  [{ T: 65, H: 6, G: 2, D: 64, sinks: 0 }],
  [{ T: 255, H: 1, G: 1, D: 8, sinks: 0 }],
  [{ T: 256, H: 2, G: 2, D: 16, sinks: 0 }],
  [{ T: 257, H: 2, G: 1, D: 80, sinks: 0 }],
])("%o", async (dims) => {
  const { T, H, G, D } = dims;
  const given = scoringCase(dims, "half");
  const moments = queryMoments(given.queries, dims);
  const triangle = moments.covariance.map((c, n) => {
    const [j, i] = [Math.floor(n / D) % D, n % D];
    return i > j ? 0 : (c * (i < j ? 2 : 1)) / (2 * D);
  });
  const logits = bench.floats(H * T);
  const op = expectedAttention(
    bench.gpu,
    { heads: H, kvHeads: G, headSize: D, rope: given.rope },
    {
      params: bench.params(dims, { capacity: T + 2 }),
      keys: bench.keep(uploadSlots(bench.gpu, given.keys, dims, T + 2, "f16")),
      mean: bench.floats(moments.mean.map((m) => m / Math.sqrt(D))),
      triangle: bench.floats(triangle),
      logits,
      tokens: T,
      storage: "f16",
    },
  );
  expectClose(await bench.run(op, logits, H * T), expectedLogits(moments, given.keys, dims), tolerances.normalizers);
});

// rotate-moments: rotated mean and covariance triangle against R mu and R C R^T with full matrices.

import { afterAll, beforeAll, test } from "vitest";
import { futureRotation } from "../../src/cache/future-rotation";
import { rotateMoments } from "../../src/kernels/rotate-moments";
import { type Dims, queryMoments, rotateMoments as reference } from "../reference/expected-attention";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench, referenceSums } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each([
  ["half", 64],
  ["neighbour", 64],
  ["neighbour", 8],
  ["half", 160], // more pairs than a workgroup has lanes
] as const)("%s pairing, head size %d", async (pairing, D) => {
  const dims: Dims = { T: 24, H: 2, G: 1, D, sinks: 4 };
  const given = scoringCase(dims, pairing);
  const rotation = futureRotation(given.rope, D, dims.T, 16);
  const want = reference(queryMoments(given.queries, dims), rotation, pairing, dims);
  const { pivot, sums } = referenceSums(given.queries, dims);
  const [mean, triangle] = [bench.floats(dims.H * D), bench.floats(dims.H * D * D)];
  const op = rotateMoments(
    bench.gpu,
    { heads: dims.H, kvHeads: dims.G, headSize: D, rope: given.rope },
    { params: bench.params(dims), pivot: bench.floats(pivot), sums: bench.floats(sums), rotation: bench.floats(rotation), mean, triangle },
  );
  expectClose(
    await bench.run(op, mean, dims.H * D),
    want.mean.map((m) => m / Math.sqrt(D)),
    tolerances.moments,
  );
  const folded = want.covariance.map((c, n) => {
    const [j, i] = [Math.floor(n / D) % D, n % D]; // stored [j][i]; C' is symmetric
    return i > j ? 0 : (c * (i < j ? 2 : 1)) / (2 * D);
  });
  expectClose(await bench.read(triangle, dims.H * D * D), folded, tolerances.moments);
});

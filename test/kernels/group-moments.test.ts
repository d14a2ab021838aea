// group-moments: pooled mean, 2x2 blocks and energy of a group's queries against the f64 pool.

import { afterAll, beforeAll, test } from "vitest";
import { groupMoments } from "../../src/kernels/group-moments";
import { momentFloats } from "../../src/kernels/scoring";
import { type Dims, pairChannels, queryMoments } from "../reference/expected-attention";
import { poolMoments, queryEnergy } from "../reference/group-moments";
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
  ["half", 64, 3],
  ["neighbour", 8, 1],
  ["half", 160, 2], // more pairs than a workgroup has lanes
] as const)("%s pairing, head size %d, %d heads a group", async (pairing, D, heads) => {
  const dims: Dims = { T: 24, H: 2 * heads, G: 2, D, sinks: 4 };
  const given = scoringCase(dims, pairing);
  const pooled = poolMoments(queryMoments(given.queries, dims), dims);
  const { pivot, sums } = referenceSums(given.queries, dims);
  const floats = momentFloats({ headSize: D });
  const [moments, energy] = [bench.floats(2 * floats), bench.floats(2)];
  const op = groupMoments(
    bench.gpu,
    { heads: dims.H, kvHeads: 2, headSize: D, rope: given.rope },
    { params: bench.params(dims), pivot: bench.floats(pivot), sums: bench.floats(sums), moments, queryEnergy: energy },
  );
  const got = await bench.run(op, moments, 2 * floats);
  const pairs = Array.from({ length: D / 2 }, (_, pair) => pairChannels(pairing, D, pair));
  for (let g = 0; g < 2; g++) {
    const mean = [0, 1].flatMap((side) => pairs.map((pair) => pooled.mean[g * D + pair[side]!]!));
    const block = [
      [0, 0],
      [0, 1],
      [1, 1],
    ].flatMap(([a, b]) => pairs.map((pair) => pooled.covariance[(g * D + pair[a!]!) * D + pair[b!]!]!));
    expectClose(got.subarray(g * floats, g * floats + mean.length + block.length), [...mean, ...block], tolerances.moments);
    expectClose(got.subarray((g + 1) * floats - 2, (g + 1) * floats), [queryEnergy(pooled, dims)[g]!, dims.T - dims.sinks], tolerances.moments);
  }
  expectClose(await bench.read(energy, 2), queryEnergy(pooled, dims), tolerances.moments);
});

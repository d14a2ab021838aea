// update-moments: a token's queries added to pooled moments; its weight is 1/count, and never below 1/limit.

import { afterAll, beforeAll, test } from "vitest";
import { momentsLayout } from "../../src/kernels/scoring";
import { updateMoments } from "../../src/kernels/update-moments";
import { type Dims, pairChannels, queryMoments } from "../reference/expected-attention";
import { addQueries, poolMoments, queryEnergy } from "../reference/group-moments";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each([
  ["half", 64, 30, 1 / 31],
  ["neighbour", 160, 30, 1 / 31],
  ["neighbour", 8, 5000, 1 / 100],
] as const)("%s pairing, head size %d, %d queries so far", async (pairing, D, count, weight) => {
  const dims: Dims = { T: 30, H: 6, G: 2, D, sinks: 0 };
  const given = scoringCase(dims, pairing);
  const pooled = poolMoments(queryMoments(given.queries, dims), dims);
  const queries = scoringCase({ ...dims, T: 1 }, pairing, { seed: 9 }).queries;
  const pairs = Array.from({ length: D / 2 }, (_, pair) => pairChannels(pairing, D, pair));
  const record = (from: typeof pooled, g: number): number[] => [
    ...[0, 1].flatMap((side) => pairs.map((pair) => from.mean[g * D + pair[side]!]!)),
    ...[
      [0, 0],
      [0, 1],
      [1, 1],
    ].flatMap(([a, b]) => pairs.map((pair) => from.covariance[(g * D + pair[a!]!) * D + pair[b!]!]!)),
  ];
  const rest = [...Array.from({ length: D }, (_, i) => i), 5, 6]; // mean key and normalisers: to be left alone
  const { floats } = momentsLayout({ kvHeads: 2, headSize: D });
  const moments = bench.floats([0, 1].flatMap((g) => [...record(pooled, g), ...rest, 7, count]));
  const op = updateMoments(bench.gpu, { heads: 6, kvHeads: 2, headSize: D, rope: given.rope }, { qkv: bench.floats(queries), moments, limit: 100 });
  const next = addQueries(pooled, queries, weight, dims);
  const want = [0, 1].flatMap((g) => [...record(next, g), ...rest, queryEnergy(next, dims)[g]!, count + 1]);
  expectClose(await bench.run(op, moments, 2 * floats), want, tolerances.moments);
});

// key-diversity: diversity and condensed log-score per slot against the f64 references.

import { afterAll, beforeAll, expect, test } from "vitest";
import { futureRotation } from "../../src/cache/future-rotation";
import { keyDiversity } from "../../src/kernels/key-diversity";
import { momentFloats } from "../../src/kernels/scoring";
import { type Dims, pairChannels, queryMoments } from "../reference/expected-attention";
import { condensedLogits, poolMoments } from "../reference/group-moments";
import { meanUnitKey, keyDiversity as reference } from "../reference/key-diversity";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench, uploadSlots } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each([
  ["half", 64, 64],
  ["neighbour", 65, 8],
] as const)("%s pairing, %d slots, head size %d", async (pairing, T, D) => {
  const dims: Dims = { T, H: 4, G: 2, D, sinks: 4 };
  const given = scoringCase(dims, pairing);
  const pooled = poolMoments(queryMoments(given.queries, dims), dims);
  const anchor = meanUnitKey(given.keys, dims);
  const rotation = futureRotation(given.rope, D, T, 64);
  const pairs = Array.from({ length: D / 2 }, (_, pair) => pairChannels(pairing, D, pair));
  const record = [0, 1].flatMap((g) => [
    ...[0, 1].flatMap((side) => pairs.map((pair) => pooled.mean[g * D + pair[side]!]!)),
    ...[
      [0, 0],
      [0, 1],
      [1, 1],
    ].flatMap(([a, b]) => pairs.map((pair) => pooled.covariance[(g * D + pair[a!]!) * D + pair[b!]!]!)),
    ...[0, 1].flatMap((side) => pairs.map((pair) => anchor[g * D + pair[side]!]!)),
    ...[Number.NaN, Number.NaN, Number.NaN, Number.NaN],
  ]);
  expect(record.length).toBe(2 * momentFloats({ headSize: D }));
  const terms = bench.floats(4 * T);
  const op = keyDiversity(
    bench.gpu,
    { heads: 4, kvHeads: 2, headSize: D, rope: given.rope },
    {
      params: bench.params(dims, { capacity: T + 1 }),
      keys: bench.keep(uploadSlots(bench.gpu, given.keys, dims, T + 1, "f16")),
      moments: bench.floats(record),
      rotation: bench.floats(rotation),
      terms,
      tokens: T,
      storage: "f16",
    },
  );
  const got = await bench.run(op, terms, 4 * T);
  expectClose(
    got.filter((_, n) => n % 2 === 0),
    reference(given.keys, anchor, dims),
    tolerances.moments,
  );
  expectClose(
    got.filter((_, n) => n % 2 === 1),
    condensedLogits(pooled, rotation, pairing, given.keys, dims),
    tolerances.normalizers,
  );
});

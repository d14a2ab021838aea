// query-normalizers: log of the softmax denominator of a chunk's queries, causal, against a plain sum.

import { afterAll, beforeAll, test } from "vitest";
import { queryNormalizers } from "../../src/kernels/query-normalizers";
import { createQueryRange } from "../../src/kernels/scoring";
import type { Dims, Numbers } from "../reference/expected-attention";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { stepOf } from "./fixtures";
import { testGpu } from "./gpu";
import { KernelBench, uploadSlots } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

/** Tokens, the chunk's first position, its tokens, and the first query that counts. */
const cases: [Dims, { first: number; count: number; firstQuery: number }][] = [
  [
    { T: 257, H: 3, G: 1, D: 16, sinks: 0 },
    { first: 225, count: 32, firstQuery: 0 },
  ],
  [
    { T: 600, H: 2, G: 2, D: 8, sinks: 4 },
    { first: 510, count: 5, firstQuery: 0 },
  ],
  [
    { T: 40, H: 6, G: 2, D: 64, sinks: 4 },
    { first: 20, count: 20, firstQuery: 33 },
  ],
  [
    { T: 5, H: 2, G: 2, D: 8, sinks: 4 },
    { first: 0, count: 5, firstQuery: 0 },
  ],
];

test.each(cases)("%o, %o", async (dims, { first, count, firstQuery }) => {
  const { T, H, G, D } = dims;
  const given = scoringCase(dims, "half");
  const chunk = count + 3; // rows past the chunk's tokens are nobody's
  const rows = given.rotated.subarray(first * H * D, (first + count) * H * D);
  const normalizers = bench.floats(chunk * H);
  const op = queryNormalizers(
    bench.gpu,
    { heads: H, kvHeads: G, headSize: D, rope: given.rope },
    {
      step: bench.keep(stepOf(bench.gpu, { tokens: count, firstPosition: first, context: first + count })),
      range: bench.keep(createQueryRange(bench.gpu, "test", { tokens: T, capacity: T + 1, firstQuery, headSize: D })),
      queries: bench.floats([...rows, ...new Float64Array(3 * H * D).fill(Number.NaN)]),
      keys: bench.keep(uploadSlots(bench.gpu, given.keys, dims, T + 1, "f16")),
      normalizers,
      storage: "f16",
    },
  );
  const start = Math.max(first, firstQuery);
  const queries = first + count - start;
  const got = await bench.run({ record: (recorder) => op.record(recorder, queries) }, normalizers, chunk * H);
  for (let g = 0; g < G; g++) {
    const want = Array.from({ length: (queries * H) / G }, (_, row) => {
      const head = g * (H / G) + (row % (H / G));
      return logSum(given.rotated, given.keys, start + Math.floor(row / (H / G)), head, dims);
    });
    const base = (g * chunk * H) / G;
    expectClose(got.subarray(base, base + want.length), want, tolerances.normalizers);
  }
});

function logSum(queries: Numbers, keys: Numbers, position: number, head: number, { T, H, G, D }: Dims): number {
  const g = Math.floor(head / (H / G));
  let sum = 0;
  for (let t = 0; t <= position; t++) {
    let dot = 0;
    for (let i = 0; i < D; i++) dot += queries[(position * H + head) * D + i]! * keys[(g * T + t) * D + i]!;
    sum += Math.exp(dot / Math.sqrt(D));
  }
  return Math.log(sum);
}

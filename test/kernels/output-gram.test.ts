// output-gram: W_o^T W_o by kv head from every kind of weight, in one shard or several, against plain sums.

import { afterAll, beforeAll, expect, test } from "vitest";
import { outputGram } from "../../src/kernels/output-gram";
import { outputGram as reference } from "../reference/scorers/critical";
import { expectClose, tolerances } from "../tolerances";
import { testWeight } from "./fixtures";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each([
  ["q8", { hidden: 97, H: 6, G: 2, D: 64, shardRows: 97 }],
  ["q6", { hidden: 70, H: 2, G: 2, D: 32, shardRows: 33 }],
] as const)("%s, %o", async (kind, { hidden, H, G, D, shardRows }) => {
  const { weight, values } = testWeight(bench.gpu, kind, hidden, H * D, { shardRows });
  const gram = bench.floats(G * D * D);
  const op = outputGram(bench.gpu, { heads: H, kvHeads: G, headSize: D }, { output: weight, gram, owner: "test" });
  const got = await bench.run(op, gram, G * D * D);
  const want = reference(values, hidden, { H, G, D });
  expect(want.some((x) => Math.abs(x) > 0.01)).toBe(true);
  expectClose(got, want, tolerances.moments);
});

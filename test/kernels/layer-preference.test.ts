// layer-preference: entropy and variance of a window's attention to what came before it, against CAKE's preference in f64.

import { afterAll, beforeAll, expect, test } from "vitest";
import { layerPreference } from "../../src/kernels/layer-preference";
import { cakePreference } from "../reference/budgets";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";
import { windowCase } from "./window-case";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

const H = 6;
const window = 9;

async function preference(T: number, spread: Float64Array, temperatures: readonly [number, number]): Promise<number> {
  const result = bench.floats(1);
  const args = { params: bench.params({ T, sinks: 4 }), spread: bench.floats(spread), preference: result, window, temperatures };
  return (await bench.run(layerPreference(bench.gpu, { heads: H }, args), result, 1))[0]!;
}

test.each([
  [63 + window, [1, 1]],
  [64 + window, [1.6, 0.4]],
  [65 + window, [0.5, 2]],
] as const)("%d slots, temperatures %o", async (T, temperatures) => {
  const given = windowCase({ H, T, window });
  const [tau1, tau2] = temperatures;
  const before = given.attention.filter((_, n) => n % T < T - window);
  expectClose([await preference(T, given.spread, temperatures)], [cakePreference({ attention: before, heads: H, window }, tau1, tau2)], tolerances.spread);
});

test("by hand: two queries, one looks at the first slot, the other at the second", async () => {
  // One slot a query: no entropy but what -p log p of 1 gives, 0; of p = 1/2 each: 2 queries x 2 slots x 0.3466.
  const T = window + 2;
  const spread = new Float64Array(H * T * 4);
  spread.set([1, 0.5, Math.log(2), 2, 1, 0.5, Math.log(2), 2]); // head 0: each slot gets 1/2 from each query, so no variance
  spread.set([1, 1, 0, 2, 1, 1, 0, 2], T * 4); // head 1: each slot gets all of one query: variance 1/4 each
  expect(await preference(T, spread, [1, 1])).toBeCloseTo(2 * Math.log(2) * 0.5, 6);
});

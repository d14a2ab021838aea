// spread-scores: mean and variance of a window's attention, a group's heads together, against CAKE's score in f64.

import { afterAll, beforeAll, expect, test } from "vitest";
import { spreadScores } from "../../src/kernels/spread-scores";
import { cakeScore } from "../reference/budgets";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";
import { windowCase } from "./window-case";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each([63, 64, 65])("%d slots, three heads a group", async (T) => {
  const [H, G, gamma] = [6, 2, 200];
  const given = windowCase({ H, T, window: 9 });
  const received = bench.floats(G * T);
  const args = { params: bench.params({ T, sinks: 4 }), spread: bench.floats(given.spread), received, tokens: T, gamma };
  const got = await bench.run(spreadScores(bench.gpu, { heads: H, kvHeads: G }, args), received, G * T);
  const byHead = cakeScore({ attention: given.attention, heads: H, window: 9 }, gamma);
  const wanted = Float64Array.from({ length: G * T }, (_, n) => {
    const [g, t] = [Math.floor(n / T), n % T];
    return [0, 1, 2].reduce((sum, h) => sum + byHead[(3 * g + h) * T + t]! / 3, 0);
  });
  const most = 1 + gamma / 4; // what no score can be above
  expectClose(
    got.map((score) => score * most),
    wanted,
    tolerances.spread,
  );
  expect(Math.max(...got)).toBeGreaterThan(2 * Math.min(...got));
});

// combine-scores: the larger of importance and another score that was scaled to sum 1 past the sinks; or the sum of one and a part of the other.

import { afterAll, beforeAll, expect, test } from "vitest";
import { combineScores } from "../../src/kernels/combine-scores";
import type { Dims } from "../reference/expected-attention";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each([63, 64, 65, 300])("%d slots of 3 heads, one head with an outlier, one with nothing", async (T) => {
  const dims: Dims = { T, H: 3, G: 3, D: 8, sinks: 4 };
  const importance = Array.from({ length: 3 * T }, (_, i) => ((i * 37) % 101) / 1000);
  const other = Array.from({ length: 3 * T }, (_, i) => (i >= 2 * T ? 0 : i === T + 9 ? 1e4 : ((i * 53) % 97) / 10));
  const want = importance.map((value, i) => {
    const head = Math.floor(i / T);
    if (i % T < dims.sinks) return { larger: value, together: value };
    const sum = other.slice(head * T + dims.sinks, (head + 1) * T).reduce((a, b) => a + b, 0);
    const scaled = sum > 0 ? (other[i] ?? Number.NaN) / sum : 0;
    return { larger: Math.max(value, scaled), together: value + 0.25 * scaled };
  });
  const args = { params: bench.params(dims, { capacity: T }), other: bench.floats(other) };
  const target = bench.floats(importance);
  const got = await bench.run(combineScores(bench.gpu, { kvHeads: 3 }, { ...args, importance: target }), target, 3 * T);
  expectClose(
    got,
    want.map(({ larger }) => larger),
    tolerances.score,
  );
  expect(got[T + 9]).toBeGreaterThan(0.5); // the outlier's share decides, not its size
  const sum = bench.floats(importance);
  expectClose(
    await bench.run(combineScores(bench.gpu, { kvHeads: 3 }, { ...args, importance: sum, part: 0.25 }), sum, 3 * T),
    want.map(({ together }) => together),
    tolerances.score,
  );
});

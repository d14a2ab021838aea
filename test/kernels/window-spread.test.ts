// window-spread: sums of p, p^2 and -p log p by query head and slot over a prompt's last queries, chunk by chunk, against whole rows in f64.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import type { Dims } from "../reference/expected-attention";
import { attentionRow } from "../reference/scorers/attention-received";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { gatherStatistic } from "./score-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

describe.each<[Dims, { chunk: number; window: number }]>([
  [
    { T: 259, H: 3, G: 1, D: 16, sinks: 0 },
    { chunk: 64, window: 32 },
  ],
  [
    { T: 63, H: 6, G: 2, D: 64, sinks: 4 },
    { chunk: 10, window: 17 },
  ],
  [
    { T: 5, H: 10, G: 2, D: 8, sinks: 4 },
    { chunk: 2, window: 32 },
  ],
])("%o %o", (dims, { chunk, window }) => {
  test("sums and queries", async () => {
    const { T, H } = dims;
    const given = scoringCase(dims, "neighbour");
    const got = await gatherStatistic(gpu, given, { tokens: T, chunk, count: 4 * H * T }, (view) => view.spread(window));
    const first = Math.max(0, T - window);
    const queries = given.rotated.subarray(first * H * dims.D);
    const positions = Array.from({ length: T - first }, (_, w) => first + w);
    const planes = [0, 1, 2].map(() => new Float64Array(H * T));
    for (let h = 0; h < H; h++)
      for (let w = 0; w < positions.length; w++)
        attentionRow({ queries, keys: given.keys, queryPositions: positions }, w, h, dims).forEach((p, t) => {
          planes[0]![h * T + t]! += p;
          planes[1]![h * T + t]! += p * p;
          planes[2]![h * T + t]! -= p > 0 ? p * Math.log(p) : 0;
        });
    const plane = (n: number): Float32Array => got.filter((_, at) => at % 4 === n);
    for (const [n, wanted] of planes.entries()) expectClose(plane(n), wanted, n === 2 ? tolerances.spread : tolerances.score);
    expect(
      plane(3).every((count, at) => at % T >= first || count === positions.length),
      "every slot before the window has been seen by all of it",
    ).toBe(true);
  });
});

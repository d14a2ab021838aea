// window-normalizers: log of the softmax denominator of every window query, causal, against a plain sum.

import { afterAll, beforeAll, test } from "vitest";
import { windowNormalizers } from "../../src/kernels/window-normalizers";
import type { Dims } from "../reference/expected-attention";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench, uploadSlots } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each<[Dims]>([[{ T: 257, H: 3, G: 1, D: 16, sinks: 0 }], [{ T: 33, H: 4, G: 2, D: 64, sinks: 4 }], [{ T: 5, H: 2, G: 2, D: 8, sinks: 4 }]])(
  "%o",
  async (dims) => {
    const { T, H, G, D } = dims;
    const given = scoringCase(dims, "half");
    const window = Math.min(32, T);
    const queries = given.rotated.subarray((T - window) * H * D);
    const normalizers = bench.floats(32 * H);
    const op = windowNormalizers(
      bench.gpu,
      { heads: H, kvHeads: G, headSize: D, rope: given.rope },
      {
        params: bench.params(dims),
        queries: bench.floats([...queries, ...new Float64Array((32 - window) * H * D)]),
        keys: bench.keep(uploadSlots(bench.gpu, given.keys, dims, T, "f16")),
        normalizers,
        tokens: T,
        storage: "f16",
      },
    );
    const got = await bench.run(op, normalizers, 32 * H);
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h / (H / G));
      const want = Array.from({ length: window }, (_, w) => {
        let sum = 0;
        for (let t = 0; t <= T - window + w; t++) {
          let dot = 0;
          for (let i = 0; i < D; i++) dot += queries[(w * H + h) * D + i]! * given.keys[(g * T + t) * D + i]!;
          sum += Math.exp(dot / Math.sqrt(D));
        }
        return Math.log(sum);
      });
      const start = g * 32 * (H / G) + (h % (H / G)) * window;
      expectClose(got.subarray(start, start + window), want, tolerances.normalizers);
    }
  },
);

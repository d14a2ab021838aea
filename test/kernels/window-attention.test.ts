// window-attention: attention of the last queries to every slot against the f64 SnapKV; its normalisers come from their own kernel.

import { afterAll, beforeAll, test } from "vitest";
import { windowAttention } from "../../src/kernels/window-attention";
import { windowNormalizers } from "../../src/kernels/window-normalizers";
import type { Dims } from "../reference/expected-attention";
import { scoringCase } from "../reference/scoring-case";
import { windowAttention as reference } from "../reference/snapkv";
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
    const given = scoringCase(dims, "neighbour");
    const window = Math.min(32, T);
    const queries = given.rotated.subarray((T - window) * H * D);
    const shared = {
      params: bench.params(dims, { capacity: T + 3 }),
      queries: bench.floats([...queries, ...new Float64Array((32 - window) * H * D)]),
      keys: bench.keep(uploadSlots(bench.gpu, given.keys, dims, T + 3, "f16")),
      normalizers: bench.floats(32 * H),
      tokens: T,
      storage: "f16",
    } as const;
    const scoring = { heads: H, kvHeads: G, headSize: D, rope: given.rope };
    const received = bench.floats(G * T);
    await bench.run(windowNormalizers(bench.gpu, scoring, shared), shared.normalizers, 1);
    const got = await bench.run(windowAttention(bench.gpu, scoring, { ...shared, received }), received, G * T);
    expectClose(got, reference(queries, window, given.keys, dims), tolerances.score);
  },
);

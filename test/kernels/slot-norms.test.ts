// slot-norms: 1 / |k| and |v| of every slot, with spare rows behind each head.

import { afterAll, beforeAll, test } from "vitest";
import { slotNorms } from "../../src/kernels/slot-norms";
import { type Dims, norm } from "../reference/expected-attention";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench, uploadSlots } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each([63, 64, 65])("%d slots", async (T) => {
  const dims: Dims = { T, H: 3, G: 3, D: 16, sinks: 4 };
  const given = scoringCase(dims, "half");
  for (const storage of ["f16", "f32"] as const) {
    const norms = bench.floats(2 * dims.G * T);
    const [keys, values] = [given.keys, given.values].map((rows) => bench.keep(uploadSlots(bench.gpu, rows, dims, T + 5, storage)));
    const op = slotNorms(
      bench.gpu,
      { heads: dims.H, kvHeads: dims.G, headSize: dims.D, rope: given.rope },
      { params: bench.params(dims, { capacity: T + 5 }), keys: keys!, values: values!, norms, tokens: T, storage },
    );
    const want = Array.from({ length: dims.G * T }, (_, row) => [1 / norm(given.keys, row * dims.D, dims.D), norm(given.values, row * dims.D, dims.D)]).flat();
    expectClose(await bench.run(op, norms, want.length), want, tolerances.moments);
  }
});

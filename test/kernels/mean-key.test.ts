// mean-key: mean of the unit keys against KeyDiff's anchor, in the order of RoPE pairs.

import { afterAll, beforeAll, test } from "vitest";
import { meanKey } from "../../src/kernels/mean-key";
import { momentFloats } from "../../src/kernels/scoring";
import { type Dims, norm, pairChannels } from "../reference/expected-attention";
import { meanUnitKey } from "../reference/key-diversity";
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
  ["half", 65, 64],
  ["neighbour", 130, 16],
] as const)("%s pairing, %d slots, head size %d", async (pairing, T, D) => {
  const dims: Dims = { T, H: 2, G: 2, D, sinks: 4 };
  const given = scoringCase(dims, pairing);
  const anchor = meanUnitKey(given.keys, dims);
  const floats = momentFloats({ headSize: D });
  const moments = bench.floats(2 * floats);
  const norms = bench.floats(Array.from({ length: 2 * T }, (_, row) => [1 / norm(given.keys, row * D, D), Number.NaN]).flat());
  const keys = bench.keep(uploadSlots(bench.gpu, given.keys, dims, T + 1, "f16"));
  const op = meanKey(
    bench.gpu,
    { heads: 2, kvHeads: 2, headSize: D, rope: given.rope },
    { params: bench.params(dims, { capacity: T + 1 }), keys, norms, moments, storage: "f16" },
  );
  const got = await bench.run(op, moments, 2 * floats);
  const pairs = Array.from({ length: D / 2 }, (_, pair) => pairChannels(pairing, D, pair));
  for (let g = 0; g < 2; g++) {
    const want = [0, 1].flatMap((side) => pairs.map((pair) => anchor[g * D + pair[side]!]!));
    expectClose(got.subarray(g * floats + (5 * D) / 2, g * floats + (7 * D) / 2), want, tolerances.moments);
  }
});

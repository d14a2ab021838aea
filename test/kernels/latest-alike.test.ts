// latest-alike: which key of a prompt is let off for every other, on random keys and on planted copies.

import { afterAll, beforeAll, expect, test } from "vitest";
import { latestAlike } from "../../src/kernels/latest-alike";
import { type Dims, type Numbers, norm } from "../reference/expected-attention";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench, uploadSlots } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each([1, 63, 64, 65, 140])("%d keys", async (T) => {
  const dims: Dims = { T, H: 2, G: 2, D: 16, sinks: 0 };
  const given = scoringCase(dims, "half");
  // One key points away from the others, one says the same twice over.
  for (let i = 0; i < dims.D; i++) {
    given.keys[(T - 1) * dims.D + i]! *= -1;
    given.keys[Math.floor(T / 2) * dims.D + i] = 2 * given.keys[i]!;
  }
  const credits = bench.floats(dims.G * T);
  const norms = bench.floats(Array.from({ length: dims.G * T }, (_, row) => [1 / norm(given.keys, row * dims.D, dims.D), Number.NaN]).flat());
  const keys = bench.keep(uploadSlots(bench.gpu, given.keys, dims, T + 3, "f16"));
  const op = latestAlike(
    bench.gpu,
    { heads: 2, kvHeads: dims.G, headSize: dims.D, rope: given.rope },
    { params: bench.params(dims, { capacity: T + 3 }), keys, norms, credits, tokens: T, storage: "f16" },
  );
  const got = new Uint32Array((await bench.run(op, credits, dims.G * T)).slice().buffer);
  const want = reference(given.keys, dims);
  if (T > 1) expect(want.filter((credit) => credit > 0).length).toBeGreaterThan(dims.G);
  expectClose(
    Array.from(got, (credit) => credit / 65536),
    want,
    tolerances.credits,
  );
});

/** (G, T): sums of the cosines of those whose latest alike a key is. */
function reference(keys: Numbers, { T, G, D }: Dims): number[] {
  const credits = Array<number>(G * T).fill(0);
  for (let row = 0; row < G * T; row++) {
    const start = Math.floor(row / T) * T;
    for (let other = start + T - 1; other >= start; other--) {
      let dot = 0;
      for (let i = 0; i < D; i++) dot += keys[row * D + i]! * keys[other * D + i]!;
      const cosine = dot / (norm(keys, row * D, D) * norm(keys, other * D, D));
      if (other === row || cosine <= 0.5) continue;
      credits[other]! += cosine;
      break;
    }
  }
  return credits;
}

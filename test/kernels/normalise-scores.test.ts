// normalise-scores: a prompt's scores sum to 1 over a head, the ring's stay on their scale.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { valueNorm } from "../reference/scorers/norms";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { scoreRing } from "./ring-bench";
import { scorePrompt } from "./score-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([5, 63, 64, 65, 200])("%d tokens", async (T) => {
  const dims = { T, H: 4, G: 2, D: 16, sinks: 4 };
  const prompt = scoringCase(dims, "half");
  const norms = valueNorm(prompt.values, dims);
  const sums = [0, 1].map((g) => norms.subarray(g * T + 4, (g + 1) * T).reduce((a, b) => a + b, 0));
  const { importance, factors } = await scorePrompt(gpu, prompt, { kind: "value-norm", sinks: 4 }, { normalise: true });
  expectClose(
    factors,
    sums.map((sum) => 1 / sum),
    tolerances.score,
  );
  for (let g = 0; g < 2; g++) {
    const got = importance.subarray(g * T + 4, (g + 1) * T);
    expectClose(
      got,
      Array.from(norms.subarray(g * T + 4, (g + 1) * T), (score) => score / sums[g]!),
      tolerances.score,
    );
    expectClose([got.reduce((a, b) => a + b, 0)], [1], tolerances.score);
  }
  const later = scoringCase({ ...dims, T: 10, sinks: 0 }, "half", { seed: 5 });
  const ring = await scoreRing(gpu, prompt, later, { kind: "value-norm", sinks: 4 }, { position: T + 10, held: 10, normalise: true });
  const want = valueNorm(later.values, later.dims).map((score, n) => score / sums[Math.floor(n / 10)]!);
  expectClose(ring, want, tolerances.score);
});

test("a prompt of sinks alone leaves later scores as they are", async () => {
  const dims = { T: 3, H: 2, G: 1, D: 8, sinks: 4 };
  const { factors } = await scorePrompt(gpu, scoringCase({ ...dims, sinks: 0 }, "half"), { kind: "value-norm", sinks: 4 }, { normalise: true });
  expect([...factors]).toEqual([1]);
});

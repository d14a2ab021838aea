// ring-redundancy: R-KV's score of the ring's tokens on the prompt's scale.

import { afterAll, beforeAll, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { half } from "../reference/codec";
import { type Numbers, norm } from "../reference/expected-attention";
import { meanUnitKey } from "../reference/key-diversity";
import { rkvRedundancy } from "../reference/scorers/r-kv";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { scoreRing } from "./ring-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([
  ["half", 13],
  ["neighbour", 9],
] as const)("%s pairing, %d tokens held", async (pairing, held) => {
  const dims = { T: 70, H: 4, G: 2, D: 16, sinks: 4 };
  const prompt = scoringCase(dims, pairing);
  const later = scoringCase({ ...dims, T: 13, sinks: 0 }, pairing, { seed: 4 });
  for (let i = 0; i < 16; i++) later.keys[5 * 16 + i] = later.keys[8 * 16 + i]! / 2; // a copy that comes again
  const got = await scoreRing(gpu, prompt, later, { kind: "r-kv", sinks: 4 }, { position: 83, held });
  const anchor = meanUnitKey(prompt.keys, dims);
  const want = Array.from({ length: dims.G * 13 }, (_, row) => {
    const [g, n] = [Math.floor(row / 13), row % 13];
    if (n < 13 - held) return 0;
    const redundancy = rkvRedundancy(prompt.keys, 0.5, dims).subarray(g * dims.T, (g + 1) * dims.T);
    const scale = scaleOf(prompt.keys, redundancy, g, dims);
    const again = Array.from({ length: 12 - n }, (_, k) => cosine(later.keys, row, later.keys, row + 1 + k)).some((c) => c > 0.5);
    const own = again ? anchorDot(later.keys, row, anchor.map(half), g) : 0;
    return 0.9 * Math.max(0, dims.T * Math.max(...redundancy) - Math.exp(own) / scale);
  });
  expectClose(got, want, tolerances.score);

  /** Mean of exp(mean cosine) over the prompt: a slot that is let off nothing gives it by its softmax, the others would make it larger. */
  function scaleOf(keys: Numbers, redundancy: Numbers, g: number, { T }: { readonly T: number }): number {
    return Math.min(...Array.from({ length: T }, (_, t) => Math.exp(anchorDot(keys, g * T + t, anchor, g) - 1 / T) / (redundancy[t]! * T)));
  }
});

function anchorDot(keys: Numbers, row: number, anchor: Numbers, g: number): number {
  let dot = 0;
  for (let i = 0; i < 16; i++) dot += keys[row * 16 + i]! * anchor[g * 16 + i]!;
  return dot / norm(keys, row * 16, 16);
}

function cosine(a: Numbers, rowA: number, b: Numbers, rowB: number): number {
  let dot = 0;
  for (let i = 0; i < 16; i++) dot += a[rowA * 16 + i]! * b[rowB * 16 + i]!;
  return dot / (norm(a, rowA * 16, 16) * norm(b, rowB * 16, 16));
}

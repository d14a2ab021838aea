// redundancy: R-KV's score of a prompt from its parts, and its published order where attention does not count.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import type { Dims, Numbers } from "../reference/expected-attention";
import { attentionReceived } from "../reference/scorers/attention-received";
import { rkv, rkvRedundancy } from "../reference/scorers/r-kv";
import { type ScoringCase, scoringCase } from "../reference/scoring-case";
import { maxPool } from "../reference/snapkv";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { scorePrompt } from "./score-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const WINDOW = 8;

describe.each([
  ["130 tokens, three groups", { T: 130, H: 9, G: 3, D: 64, sinks: 4 }, "neighbour"],
  ["64 tokens, no sinks", { T: 64, H: 4, G: 2, D: 16, sinks: 0 }, "half"],
  ["shorter than the window", { T: 7, H: 2, G: 1, D: 8, sinks: 4 }, "half"],
] as const)("%s", (_, dims, pairing) => {
  const given = scoringCase(dims, pairing);

  test("importance less redundancy", async () => {
    const { importance } = await scorePrompt(gpu, given, { kind: "r-kv", sinks: dims.sinks });
    expectClose(past(importance, dims), past(lifted(given, 0.1), dims), tolerances.score);
  });

  test("the published order of redundancy", async () => {
    const { importance } = await scorePrompt(gpu, given, { kind: "r-kv", sinks: dims.sinks, lambda: 0 });
    const published = rkv(given.rotated.subarray((dims.T - Math.min(WINDOW, dims.T)) * dims.H * dims.D), given.keys, { lambda: 0 }, dims);
    for (let g = 0; g < dims.G; g++) expect(order(importance, g, dims)).toEqual(order(published, g, dims));
  });
});

/** n (lambda I + (1 - lambda) (largest R - R)), (G, T). */
function lifted({ rotated, keys, dims }: ScoringCase, lambda: number): Float64Array {
  const { T, H, G, D } = dims;
  const window = Math.min(WINDOW, T);
  const prefix = T - window;
  const received = attentionReceived({ queries: rotated.subarray(prefix * H * D), keys, reduce: "mean", group: "mean" }, dims);
  const redundancy = rkvRedundancy(keys, 0.5, dims);
  const scores = new Float64Array(G * T);
  for (let g = 0; g < G; g++) {
    const before = received.subarray(g * T, g * T + prefix);
    const sum = before.reduce((a, b) => a + b, 0);
    const pooled = maxPool(before, 3, { T: prefix, G: 1, sinks: 0 });
    const ofHead = redundancy.subarray(g * T, (g + 1) * T);
    const most = Math.max(...ofHead);
    for (let t = 0; t < T; t++) scores[g * T + t] = T * (lambda * (t < prefix ? pooled[t]! / sum : 0) + (1 - lambda) * (most - ofHead[t]!));
  }
  return scores;
}

function past(scores: Numbers, { T, sinks }: Pick<Dims, "T" | "sinks">): number[] {
  return Array.from(scores).filter((_, n) => n % T >= sinks);
}

/** A head's slots past the sinks by falling score. */
function order(scores: Numbers, g: number, { T, sinks }: Pick<Dims, "T" | "sinks">): number[] {
  return Array.from({ length: T - sinks }, (_, n) => sinks + n).sort((a, b) => scores[g * T + b]! - scores[g * T + a]!);
}

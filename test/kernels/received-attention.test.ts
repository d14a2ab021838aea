// received-attention: what a prompt's queries pay to every slot, chunk by chunk through a PromptScorer, against the f64 sums over whole rows.

import { afterAll, beforeAll, describe, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import type { ReceivedSpec } from "../../src/policy/scorers/scorer";
import type { Dims } from "../reference/expected-attention";
import { attentionRow } from "../reference/scorers/attention-received";
import { type ScoringCase, scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { gatherStatistic } from "./score-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const shapes: [Dims, { chunk: number; replayed?: number }][] = [
  [{ T: 259, H: 3, G: 1, D: 16, sinks: 0 }, { chunk: 64 }],
  [
    { T: 63, H: 6, G: 2, D: 64, sinks: 4 },
    { chunk: 10, replayed: 13 },
  ],
  [
    { T: 64, H: 4, G: 4, D: 8, sinks: 4 },
    { chunk: 64, replayed: 65 },
  ],
  [
    { T: 5, H: 10, G: 2, D: 8, sinks: 4 },
    { chunk: 2, replayed: 1 },
  ],
];

const specs: ReceivedSpec[] = [
  { queries: 32, reduce: "sum" },
  { queries: "all", reduce: "sum" },
  { queries: "all", reduce: "sum", decay: 0.9 },
  { queries: 17, reduce: "max" },
  { queries: "all", reduce: "squares" },
  { queries: 17, reduce: "max-of-mean" },
  { queries: "all", reduce: "sum", followers: 7 },
  { queries: "replay", reduce: "max" },
  { queries: "replay", reduce: "sum", decay: 0.5 },
];

describe.each(shapes)("%o %o", (dims, { chunk, replayed = 0 }) => {
  // A replay's rows follow the prompt's: one case of T + replayed positions, of which the first T are the prompt.
  const whole = scoringCase({ ...dims, T: dims.T + replayed }, "neighbour");

  test.each(specs.filter(({ queries }) => queries !== "replay" || replayed > 0))("%o", async (spec) => {
    const got = await gatherStatistic(gpu, whole, { tokens: dims.T, chunk, count: dims.G * dims.T }, (view) => view.received(spec));
    expectClose(got, reference(whole, dims.T, spec), tolerances.score);
  });
});

/** (G, tokens): the sums of ReceivedSpec, written down once more. */
function reference({ dims, rotated, keys }: ScoringCase, tokens: number, { queries, reduce, decay = 1, followers }: ReceivedSpec): Float64Array {
  const { H, G, D, T } = dims;
  const first = queries === "all" ? 0 : queries === "replay" ? tokens : Math.max(0, tokens - queries);
  const end = queries === "replay" ? T : tokens;
  const positions = Array.from({ length: T }, (_, t) => t);
  const received = new Float64Array(G * tokens);
  for (let g = 0; g < G; g++)
    for (let q = first; q < end; q++) {
      const row = { queries: rotated.subarray(q * H * D, (q + 1) * H * D), keys, queryPositions: [q], keyPositions: positions };
      const paid = Array.from({ length: H / G }, (_, n) => attentionRow(row, 0, g * (H / G) + n, dims));
      for (let t = 0; t < tokens; t++) {
        if (followers && (q - t < 1 || q - t > followers)) continue;
        const at = g * tokens + t;
        const mean = paid.reduce((sum, p) => sum + p[t]! / paid.length, 0);
        if (reduce === "sum") received[at]! += mean * decay ** (end - 1 - q);
        if (reduce === "squares") received[at]! += mean ** 2;
        if (reduce === "max-of-mean") received[at] = Math.max(received[at]!, mean);
        if (reduce === "max") received[at] = Math.max(received[at]!, ...paid.map((p) => p[t]!));
      }
    }
  return received;
}

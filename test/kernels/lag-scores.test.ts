// lag-scores: LagKV's partitions in a prompt, whole and short, and in the ring, against the reference.

import { afterAll, beforeAll, describe, test } from "vitest";
import type { Dims, Numbers } from "../reference/expected-attention";
import { lagkv } from "../reference/scorers/lagkv";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { scoreRing } from "./ring-bench";
import { KernelBench, scorePrompt } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

describe("lagkv", () => {
  test.each([
    ["tail behind four partitions", { T: 4 + 4 * 16 + 5, H: 4, G: 2, D: 64, sinks: 4 }, 16],
    ["two partitions exactly", { T: 4 + 2 * 20, H: 2, G: 1, D: 16, sinks: 4 }, 20],
    ["one token less than two", { T: 4 + 2 * 20 - 1, H: 2, G: 1, D: 16, sinks: 4 }, 20],
    ["shorter than one", { T: 9, H: 2, G: 1, D: 8, sinks: 0 }, 16],
    ["partitions larger than a workgroup", { T: 3 * 100, H: 2, G: 1, D: 80, sinks: 0 }, 100],
  ] as const)("%s", async (_, dims, lag) => {
    const given = scoringCase(dims, "half");
    const { importance } = await scorePrompt(bench.gpu, given, { kind: "lagkv", sinks: dims.sinks, lag });
    const published = lagkv(given.keys, given.values, { lag }, dims);
    const scores = lagkv(given.keys, given.values, { lag, crossScoring: true }, dims);
    const full = Math.floor((dims.T - dims.sinks) / lag);
    const want = published.map((rank, n) => {
      const t = n % dims.T;
      if (t < dims.sinks + (full - 1) * lag) return rank + scores[n]! / lag;
      return full < 2 ? rank : rank + (t - dims.sinks + 1) / (dims.T - dims.sinks + 1); // later is better among those that are all 1
    });
    expectClose(past(importance, dims), past(want, dims), tolerances.score);
  });

  test.each([
    ["all of it", 13, 7],
    ["after the first few tokens", 8, 2],
    ["nothing to judge", 6, 0],
  ])("in the ring: %s", async (_, held, judged) => {
    const dims = { T: 30, H: 4, G: 2, D: 16, sinks: 4 };
    const later = scoringCase({ ...dims, T: 13, sinks: 0 }, "half", { seed: 3 });
    const importance = await scoreRing(bench.gpu, scoringCase(dims, "half"), later, { kind: "lagkv", sinks: 4 }, { position: 113, held });
    for (let g = 0; g < dims.G; g++) {
      // As one partition of a prompt: twice as many tokens, the newer of which are the six newest, each as often as it takes.
      const got = importance.slice(g * 13, (g + 1) * 13);
      const want = Array<number>(13).fill(0);
      const lag = judged * 6;
      const rows = (all: Numbers, first: number, count: number, copies: number): number[] =>
        Array.from({ length: count * copies }, (_, n) =>
          Array.from(all).slice((g * 13 + first + (n % count)) * 16, (g * 13 + first + (n % count) + 1) * 16),
        ).flat();
      const both = (all: Numbers): number[] => [...rows(all, 7 - judged, judged, 6), ...rows(all, 7, 6, judged)];
      if (judged > 0) {
        const scores = lagkv(both(later.keys), both(later.values), { lag, crossScoring: true }, { T: 2 * lag, G: 1, D: 16, sinks: 0 }).subarray(0, judged);
        scores.forEach((score, n) => {
          want[7 - judged + n] = (scores.filter((other) => other < score).length + 6 * score) / judged; // six copies share a softmax
        });
      }
      expectClose(got.slice(0, 7), want.slice(0, 7), tolerances.score);
    }
  });
});

/** (G, T) without the sinks. */
function past(scores: Numbers, { T, sinks }: Pick<Dims, "T" | "sinks">): number[] {
  return Array.from(scores).filter((_, n) => n % T >= sinks);
}

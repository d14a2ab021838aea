// slot-scores: position, hash, norms, cosine and direction, in a prompt and in the ring, against the references of the literature's scores.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Calibration } from "../../src/policy/calibration";
import type { ScoreName } from "../../src/policy/scorers/scorer";
import { half } from "../reference/codec";
import { type Dims, keepSet, type Numbers } from "../reference/expected-attention";
import { meanUnitKey } from "../reference/key-diversity";
import { goldenDims, goldenInputs, goldenKeep, goldenOutputs, goldenRope } from "../reference/kvpress-golden";
import { keydiffImportance, knorm, knormImportance, qfilter, valueNorm } from "../reference/scorers/norms";
import { random, streamingLlm } from "../reference/scorers/positions";
import { rotateRows, type ScoringCase, scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { scoreRing } from "./ring-bench";
import { KernelBench, scorePrompt } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

const LAYER = 1; // the benches score layer 1 of 2

describe("kvpress's own keep-sets", () => {
  const inputs = goldenInputs();
  const golden: ScoringCase = { dims: goldenDims, rope: goldenRope, ...inputs, rotated: rotateRows(inputs.queries, goldenRope, goldenDims) };
  const cases: [ScoreName, number, { lag?: number }, readonly (readonly number[])[]][] = [
    ["streaming-llm", 4, {}, [list("0-3,16-23"), list("0-3,16-23")]],
    ["knorm", 0, {}, [list("3,5,7,9,11,13,15,17,19,21,22,23"), list("0,1,2,7,9,11,13,15,17,19,21,23")]],
    ["keydiff", 0, {}, goldenOutputs.keepKeydiff],
    ["lagkv", 2, { lag: 4 }, [list("0-2,6,10,14,18-23"), list("0,1,3,6,10,14,18-23")]],
  ];
  test.each(cases)("%s", async (kind, sinks, options, keep) => {
    const given = { ...golden, dims: { ...goldenDims, sinks } };
    const { importance } = await scorePrompt(bench.gpu, given, { kind, sinks, ...options }, { chunk: 10, storage: "f32" });
    for (let g = 0; g < goldenDims.G; g++) expect(keepSet(importance, g, goldenKeep, { ...goldenDims, sinks })).toEqual(keep[g]);
  });
});

const shapes: [string, Dims, "half" | "neighbour"][] = [
  ["63 slots, one group", { T: 63, H: 4, G: 1, D: 64, sinks: 4 }, "half"],
  ["64 slots, no sinks", { T: 64, H: 2, G: 2, D: 16, sinks: 0 }, "neighbour"],
  ["65 slots, head size 80", { T: 65, H: 6, G: 3, D: 80, sinks: 4 }, "neighbour"],
  ["one token after the sinks", { T: 5, H: 2, G: 1, D: 8, sinks: 4 }, "half"],
];

describe.each(shapes)("%s", (_, dims, pairing) => {
  const given = scoringCase(dims, pairing);
  const calibration = directions(dims);
  const ringDims = { ...dims, T: 13, sinks: 0 }; // a ring whose rows wrap in the middle

  /** Scores of a prompt past the sinks; sinks' entries mean nothing. */
  async function prompt(kind: ScoreName): Promise<number[]> {
    const { importance } = await scorePrompt(bench.gpu, given, { kind, sinks: dims.sinks, seed: 7 }, { calibration });
    return past(importance, dims);
  }

  /** Scores of 13 tokens after 100 others, the first three of which are no longer in the ring. */
  async function ring(kind: ScoreName): Promise<{ got: number[]; later: ScoringCase; positions: number[] }> {
    const later = scoringCase(ringDims, pairing, { seed: 2 });
    const got = await scoreRing(bench.gpu, given, later, { kind, sinks: dims.sinks, seed: 7 }, { position: 113, held: 10, calibration });
    return { got, later, positions: Array.from({ length: 13 }, (_, n) => 100 + n) };
  }

  const cases: [ScoreName, (at: ScoringCase, positions: number[], anchor: Numbers) => Numbers][] = [
    ["knorm", ({ keys, dims }) => knormImportance(keys, dims)],
    ["value-norm", ({ values, dims }) => valueNorm(values, dims)],
    ["keydiff", ({ keys, dims }, _, anchor) => keydiffImportance(keys, dims, anchor)],
    ["random", ({ dims }, positions) => random({ seed: 7, layer: LAYER }, dims, positions)],
    ["streaming-llm", ({ dims }, positions) => Array.from({ length: dims.G * dims.T }, (_, n) => spread(positions[n % dims.T]!))],
    [
      "qfilter",
      ({ keys, dims }) =>
        qfilter(keys, calibration.queryDirection.subarray(LAYER * dims.G * dims.D, 2 * dims.G * dims.D), dims).map((x) => squash(x / Math.sqrt(dims.D))),
    ],
  ];
  test.each(cases)("%s, in the prompt and in the ring", async (kind, reference) => {
    const anchor = meanUnitKey(given.keys, dims);
    const positions = Array.from({ length: dims.T }, (_, n) => n);
    expectClose(await prompt(kind), past(reference(given, positions, anchor), dims), tolerances.score);
    const { got, later, positions: laterPositions } = await ring(kind);
    const want = reference(later, laterPositions, anchor.map(half)); // as the cache keeps it
    expectClose(
      got,
      Array.from(want).map((score, n) => (n % 13 < 3 ? 0 : score)),
      tolerances.score,
    );
  });

  test("published order is kept", async () => {
    const order = (scores: Numbers): number[] => Array.from({ length: dims.T - dims.sinks }, (_, n) => n).sort((a, b) => scores[b]! - scores[a]!);
    expect(order(await prompt("knorm"))).toEqual(order(past(knorm(given.keys, dims), dims)));
    expect(order(await prompt("streaming-llm"))).toEqual(order(past(streamingLlm(dims), dims)));
    const published = qfilter(given.keys, calibration.queryDirection.subarray(LAYER * dims.G * dims.D, 2 * dims.G * dims.D), dims);
    expect(order(await prompt("qfilter"))).toEqual(order(past(published, dims)));
  });
});

test("qfilter without a calibration is refused", async () => {
  const given = scoringCase({ T: 20, H: 2, G: 1, D: 8, sinks: 4 }, "half");
  await expect(scorePrompt(bench.gpu, given, { kind: "qfilter" })).rejects.toThrow(/needs a calibration/);
});

/** Random unit directions of two layers. */
function directions({ G, D }: Dims): Calibration {
  const queryDirection = Float32Array.from(scoringCase({ T: 2, H: G, G, D, sinks: 0 }, "half", { seed: 9 }).queries);
  for (let row = 0; row < 2 * G; row++) {
    const length = Math.hypot(...queryDirection.subarray(row * D, (row + 1) * D));
    for (let i = 0; i < D; i++) queryDirection[row * D + i]! /= length;
  }
  return { queryDirection } as Partial<Calibration> as Calibration;
}

function spread(position: number): number {
  return 2 ** ((32 * position) / (position + 8192) - 28);
}

function squash(x: number): number {
  return 2 ** ((15 * x) / (Math.abs(x) + 8) - 12);
}

/** (G, T) without the sinks. */
function past(scores: Numbers, { T, sinks }: Pick<Dims, "T" | "sinks">): number[] {
  return Array.from(scores).filter((_, n) => n % T >= sinks);
}

/** "0-3,7" as [0, 1, 2, 3, 7]. */
function list(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const [from = 0, to = from] = part.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

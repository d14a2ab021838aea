// prompt-scorer: the whole chain of scoring kernels against the f64 references, and against numbers of kvpress itself.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { futureRotation } from "../../src/cache/future-rotation";
import type { Gpu } from "../../src/gpu/device";
import type { RopePairing } from "../../src/model/model-config";
import type { Calibration } from "../../src/policy/calibration";
import { ensemble, ensembleReplay, normalize } from "../reference/ensemble";
import {
  type Dims,
  expectedAttention,
  expectedLogits,
  keepSet,
  type Moments,
  type Numbers,
  queryMoments,
  rotateMoments,
  weighByValueNorm,
} from "../reference/expected-attention";
import { condensedLogits, logNormalizers, poolMoments, queryEnergy } from "../reference/group-moments";
import { keyDiversity, meanUnitKey } from "../reference/key-diversity";
import { goldenDims, goldenFuture, goldenInputs, goldenKeep, goldenOutputs, goldenRope } from "../reference/kvpress-golden";
import { storedExpectedAttention } from "../reference/scorers/expected-attention-score";
import { h2oExposed } from "../reference/scorers/h2o";
import { kvzip } from "../reference/scorers/kvzip";
import { rotateRows, type ScoringCase, scoringCase } from "../reference/scoring-case";
import { maxPool, windowAttention } from "../reference/snapkv";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { scorePrompt } from "./score-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const attention = { kind: "expected-attention", futurePositions: 512, sinks: 4, epsilon: 0.02, valueNorm: true } as const;

describe("kvpress's own numbers", () => {
  const inputs = goldenInputs();
  const golden: ScoringCase = { dims: goldenDims, rope: goldenRope, ...inputs, rotated: rotateRows(inputs.queries, goldenRope, goldenDims) };
  const { T, G } = goldenDims;
  const options = { ...attention, futurePositions: goldenFuture, epsilon: 0 };

  test.each([0, 0.02])("scores and keep-sets, epsilon %d", async (epsilon) => {
    const { importance } = await scorePrompt(gpu, golden, { ...options, epsilon }, { chunk: 10, storage: "f32" });
    for (let g = 0; g < G; g++) {
      if (epsilon === 0) expectClose(importance.subarray(g * T + 4, g * T + 10), goldenOutputs.scores[g] ?? [], tolerances.score);
      expect(keepSet(importance, g, goldenKeep, goldenDims)).toEqual(goldenOutputs.keep[g]);
    }
    if (epsilon > 0) expectClose(importance.subarray(4, 8), goldenOutputs.scoresEpsilon, tolerances.score);
  });

  test("keep-sets without the value norm", async () => {
    const { importance } = await scorePrompt(gpu, golden, { ...options, valueNorm: false }, { storage: "f32" });
    for (let g = 0; g < G; g++) expect(keepSet(importance, g, goldenKeep, goldenDims)).toEqual(goldenOutputs.keepNoValueNorm[g]);
  });
});

const shapes: [string, Dims, RopePairing, number][] = [
  ["SmolLM2's heads, 130 tokens", { T: 130, H: 9, G: 3, D: 64, sinks: 4 }, "neighbour", 48],
  ["64 tokens, half pairing, one group", { T: 64, H: 4, G: 1, D: 64, sinks: 4 }, "half", 64],
  ["63 tokens, no sinks", { T: 63, H: 2, G: 2, D: 32, sinks: 0 }, "neighbour", 20],
  ["65 tokens, head size 80", { T: 65, H: 4, G: 2, D: 80, sinks: 4 }, "half", 33],
  ["first chunk all sinks", { T: 40, H: 6, G: 2, D: 8, sinks: 4 }, "half", 3],
  ["fewer tokens than the window, head size 128", { T: 13, H: 2, G: 1, D: 128, sinks: 4 }, "neighbour", 5],
  ["more than one block of slots", { T: 259, H: 2, G: 1, D: 16, sinks: 4 }, "half", 256],
];

describe.each(shapes)("%s", (_, dims, pairing, chunk) => {
  const given = scoringCase(dims, pairing);
  const { T, H, G, D, sinks } = dims;
  const moments = queryMoments(given.queries, dims);
  const rotation = futureRotation(given.rope, D, T, attention.futurePositions);
  const expected = expectedAttention(expectedLogits(rotateMoments(moments, rotation, pairing, dims), given.keys, dims), dims);
  const anchor = meanUnitKey(given.keys, dims);
  const diversity = keyDiversity(given.keys, anchor, dims);

  test("Expected Attention", async () => {
    const scored = await scorePrompt(gpu, given, { ...attention, sinks }, { chunk });
    const want = weighByValueNorm(expected, given.values, attention.epsilon, dims);
    for (let g = 0; g < G; g++)
      expectClose(scored.importance.subarray(g * T + sinks, (g + 1) * T), want.subarray(g * T + sinks, (g + 1) * T), tolerances.score);
    expectClose(scored.queryEnergy, queryEnergy(poolMoments(moments, dims), dims), tolerances.moments);
  });

  test("Expected Attention of stored queries, of this layer and no other", async () => {
    const other = queryMoments(scoringCase(dims, pairing, { seed: 8 }).queries, dims);
    const both = (of: (from: Moments) => Numbers): Float32Array => Float32Array.from([...of(moments), ...of(other)]);
    const calibration = { queryMean: both(({ mean }) => mean), queryCovariance: both(({ covariance }) => covariance) } as Partial<Calibration> as Calibration;
    const scored = await scorePrompt(gpu, given, { ...attention, kind: "expected-attention-stats", sinks }, { chunk, calibration });
    const want = storedExpectedAttention(other, { ...given, rotation, pairing, epsilon: attention.epsilon }, dims);
    for (let g = 0; g < G; g++)
      expectClose(scored.importance.subarray(g * T + sinks, (g + 1) * T), want.subarray(g * T + sinks, (g + 1) * T), tolerances.score);
  });

  test("ensemble, and the record left for decoding", async () => {
    const scored = await scorePrompt(gpu, given, { ...attention, sinks, kind: "ensemble" }, { chunk });
    const window = Math.min(32, T);
    const snapkv = maxPool(windowAttention(given.rotated.subarray((T - window) * H * D), window, given.keys, dims), 3, dims);
    const want = ensemble(expected, snapkv, diversity, dims);
    const logNormals = logNormalizers(condensedLogits(poolMoments(moments, dims), rotation, pairing, given.keys, dims), dims);
    for (let g = 0; g < G; g++) {
      const got = scored.importance.subarray(g * T + sinks, (g + 1) * T);
      expectClose(got, want.subarray(g * T + sinks, (g + 1) * T), tolerances.score);
      expectClose([got.reduce((a, b) => a + b, 0)], [1], tolerances.score);
      const record = (7 * D) / 2 + 4;
      const scalars = scored.moments.subarray((g + 1) * record - 4, (g + 1) * record);
      const diversities = diversity.subarray(g * T + sinks, (g + 1) * T).reduce((a, b) => a + b, 0);
      expectClose(scalars, [logNormals[g]!, diversities, queryEnergy(poolMoments(moments, dims), dims)[g]!, T - sinks], tolerances.score);
    }
  });
});

test.each<[string, Dims, number, RopePairing]>([
  ["63 tokens and a replay of 66, two groups", { T: 63 + 66, H: 6, G: 2, D: 64, sinks: 4 }, 63, "neighbour"],
  ["64 and 64, a window longer than a chunk", { T: 128, H: 4, G: 4, D: 8, sinks: 4 }, 64, "half"],
  ["257 tokens, more than one block of slots, no sinks", { T: 257 + 20, H: 3, G: 1, D: 16, sinks: 0 }, 257, "neighbour"],
])("ensemble and replay, and KVzip: %s", async (_, whole, tokens, pairing) => {
  const given = scoringCase(whole, pairing);
  const dims: Dims = { ...whole, T: tokens };
  const { H, G, D, sinks } = dims;
  const [queries, rotated] = [given.queries.subarray(0, tokens * H * D), given.rotated.subarray(0, tokens * H * D)];
  const keysOf = (from: number, to: number): Float64Array =>
    Float64Array.from(
      { length: G * (to - from) * D },
      (__, n) => given.keys[(Math.floor(n / ((to - from) * D)) * whole.T + from) * D + (n % ((to - from) * D))]!,
    );
  const keys = keysOf(0, tokens);
  const rotation = futureRotation(given.rope, D, tokens, attention.futurePositions);
  const expected = expectedAttention(expectedLogits(rotateMoments(queryMoments(queries, dims), rotation, pairing, dims), keys, dims), dims);
  const snapkv = maxPool(windowAttention(rotated.subarray((tokens - 32) * H * D), 32, keys, dims), 3, dims);
  const replay = { start: 0, end: tokens, queries: given.rotated.subarray(tokens * H * D), keys: keysOf(tokens, whole.T) };
  const replayed = kvzip(keys, [replay], "context", dims);
  const wanted = {
    "ensemble-replay": ensembleReplay(expected, snapkv, h2oExposed({ queries: rotated, keys }, dims), replayed, dims),
    kvzip: normalize(replayed, dims), // a head's masses: the rate-distortion rule takes them as they are
  };
  for (const kind of ["ensemble-replay", "kvzip"] as const) {
    const { importance } = await scorePrompt(gpu, given, { kind, futurePositions: attention.futurePositions, sinks }, { chunk: 25, tokens });
    for (let g = 0; g < G; g++) {
      const past = [g * tokens + sinks, (g + 1) * tokens] as const;
      expectClose(importance.subarray(...past), wanted[kind].subarray(...past), tolerances.score);
    }
  }
});

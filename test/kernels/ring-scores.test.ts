// ring-scores, update-moments: scores of tokens that come after the prompt, on the prompt's scale, and the running query statistics.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { futureRotation } from "../../src/cache/future-rotation";
import { RingScorer } from "../../src/cache/ring-scorer";
import type { Gpu } from "../../src/gpu/device";
import { StepBuffer } from "../../src/gpu/step";
import { momentsLayout } from "../../src/kernels/scoring";
import type { RopePairing } from "../../src/model/model-config";
import { DEFAULTS, scorerByName } from "../../src/policy/scorers";
import type { ScoreOptions } from "../../src/policy/scorers/scorer";
import { type Dims, type Moments, pairChannels, queryMoments, weighByValueNorm } from "../reference/expected-attention";
import { addQueries, condensedLogits, logNormalizers, poolMoments, queryEnergy, ringParts } from "../reference/group-moments";
import { keyDiversity, meanUnitKey } from "../reference/key-diversity";
import { type ScoringCase, scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { scorePrompt, scoringDims, uploadSlots } from "./score-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const options: ScoreOptions = { ...DEFAULTS, kind: "ensemble", futurePositions: 64, sinks: 4, epsilon: 0.02, valueNorm: true };
const R = 16; // slots of the ring

describe.each<[RopePairing, number]>([
  ["half", 64],
  ["neighbour", 80],
])("pairing %s, head size %d", (pairing, D) => {
  const dims: Dims = { T: 70, H: 6, G: 2, D, sinks: 4 };
  const prompt = scoringCase(dims, pairing);
  const later = scoringCase({ ...dims, T: R, sinks: 0 }, pairing, { seed: 2 });
  const pooled = poolMoments(queryMoments(prompt.queries, dims), dims);

  /** What ring-scores should give for `length` tokens when `position` comes next. */
  function reference(length: number, position: number, moments: Moments): { ensemble: Float64Array; attention: Float64Array } {
    const { T, G } = dims;
    const anchor = meanUnitKey(prompt.keys, dims);
    const diversity = keyDiversity(prompt.keys, anchor, dims);
    const diversitySums = Array.from({ length: G }, (_, g) => diversity.subarray(g * T + dims.sinks, (g + 1) * T).reduce((a, b) => a + b, 0));
    const atPrompt = futureRotation(prompt.rope, D, T, options.futurePositions);
    const normalizers = logNormalizers(condensedLogits(pooled, atPrompt, pairing, prompt.keys, dims), dims);
    const ringDims: Dims = { ...dims, T: R, sinks: 0 };
    const now = futureRotation(prompt.rope, D, position, options.futurePositions);
    const parts = ringParts({ pooled: moments, logNormalizers: normalizers, diversitySums, anchor }, now, pairing, later.keys, ringDims);
    const blank = (scores: Float64Array): Float64Array => scores.map((score, n) => (n % R < length ? score : 0));
    return {
      ensemble: blank(parts.expected.map((e, n) => e / 2 + parts.diversity[n]! / 2)),
      attention: blank(weighByValueNorm(parts.expected, later.values, options.epsilon, ringDims)),
    };
  }

  test.each([1, R - 1, R])("scores of %d tokens in the ring, at their true position", async (length) => {
    for (const kind of ["ensemble", "expected-attention"] as const) {
      const { importance } = await runRing(prompt, later, { ...options, kind }, { length, position: 86, observed: 0 });
      const want = reference(length, 86, pooled);
      expectClose(importance, kind === "ensemble" ? want.ensemble : want.attention, tolerances.score);
    }
  });

  test("a prompt's own key scores in the ring as it did in the prompt", async () => {
    const keys = Float64Array.from({ length: dims.G * R * D }, (_, n) => prompt.keys[(Math.floor(n / (R * D)) * dims.T + dims.sinks) * D + (n % (R * D))]!);
    const { importance } = await runRing(prompt, { ...later, keys }, options, { length: R, position: dims.T, observed: 0 });
    const turn = futureRotation(prompt.rope, D, dims.T, options.futurePositions);
    const logits = condensedLogits(pooled, turn, pairing, prompt.keys, dims);
    const normalizers = logNormalizers(logits, dims);
    const diversity = keyDiversity(prompt.keys, meanUnitKey(prompt.keys, dims), dims);
    for (let g = 0; g < dims.G; g++) {
      const slots = (row: Float64Array): Float64Array => row.subarray(g * dims.T + dims.sinks, (g + 1) * dims.T);
      const sum = slots(diversity).reduce((a, b) => a + b, 0);
      const want = Array.from({ length: R }, (_, t) => Math.exp(slots(logits)[t]! - normalizers[g]!) / 2 + slots(diversity)[t]! / sum / 2);
      expectClose(importance.subarray(g * R, (g + 1) * R), want, tolerances.score);
    }
  });

  test("moments follow the queries of later tokens, and the scores follow the moments", async () => {
    const observed = 3;
    const { importance, moments } = await runRing(prompt, later, options, { length: R, position: 86, observed });
    let followed = pooled;
    for (let t = 0; t < observed; t++) {
      const queries = later.queries.subarray(t * dims.H * D, (t + 1) * dims.H * D);
      followed = addQueries(followed, queries, 1 / (dims.T - dims.sinks + t + 1), dims);
    }
    const record = momentsLayout(scoringDims(prompt)).floats;
    for (let g = 0; g < dims.G; g++) {
      const pairs = Array.from({ length: D / 2 }, (_, pair) => pairChannels(pairing, D, pair));
      const mean = [0, 1].flatMap((side) => pairs.map((pair) => followed.mean[g * D + pair[side]!]!));
      const block = [
        [0, 0],
        [0, 1],
        [1, 1],
      ].flatMap(([a, b]) => pairs.map((pair) => followed.covariance[(g * D + pair[a!]!) * D + pair[b!]!]!));
      expectClose(moments.subarray(g * record, g * record + mean.length + block.length), [...mean, ...block], tolerances.moments);
      const scalars = moments.subarray((g + 1) * record - 2, (g + 1) * record);
      expectClose(scalars, [queryEnergy(followed, dims)[g]!, dims.T - dims.sinks + observed], tolerances.moments);
    }
    expectClose(importance, reference(R, 86, followed).ensemble, tolerances.score);
  });
});

/** Scores a prompt, takes in `observed` queries, then scores a ring of `length` tokens, as layer 1 of 2. */
async function runRing(
  prompt: ScoringCase,
  later: ScoringCase,
  scoring: ScoreOptions,
  { length, position, observed }: { length: number; position: number; observed: number },
) {
  const { H, G, D } = prompt.dims;
  const dims = scoringDims(prompt);
  const { layerBytes, floats } = momentsLayout(dims);
  const moments = gpu.createBuffer("test.moments", 2 * layerBytes, "kv");
  gpu.write(moments, layerBytes, (await scorePrompt(gpu, prompt, scoring)).moments);
  const step = new StepBuffer(gpu, "test");
  const qkv = gpu.createBuffer("test.qkv", (H + 2 * G) * D * 4, "scratch");
  const ring = { keys: uploadSlots(gpu, later.keys, { T: R, G, D }, R, "f16"), values: uploadSlots(gpu, later.values, { T: R, G, D }, R, "f16") };
  const scorer = new RingScorer(gpu, dims, scorerByName(scoring.kind), scoring, {
    step: step.buffer,
    qkv,
    layers: [ring, ring],
    moments,
    ringSlots: R,
    owner: "test",
  });
  await gpu.kernels.ready();
  for (let t = 0; t < observed; t++) {
    gpu.write(qkv, 0, Float32Array.from(later.queries.subarray(t * H * D, (t + 1) * H * D)));
    const recorder = gpu.record();
    scorer.observe(recorder, 1);
    recorder.submit();
  }
  step.write({ tokens: 1, firstPosition: position - 1, ringLength: length });
  scorer.prepare(position);
  const recorder = gpu.record();
  scorer.score(recorder, 1);
  recorder.submit();
  const result = {
    importance: new Float32Array(await gpu.read(scorer.importance, 0, G * R * 4)),
    moments: new Float32Array(await gpu.read(moments, layerBytes, G * floats * 4)),
  };
  expect(
    new Uint8Array(await gpu.read(moments, 0, layerBytes)).every((byte) => byte === 0),
    "the other layer's moments",
  ).toBe(true);
  scorer.dispose();
  step.dispose();
  for (const buffer of [moments, qkv, ring.keys, ring.values]) gpu.destroyBuffer(buffer);
  return result;
}

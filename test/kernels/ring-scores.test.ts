// ring-scores, update-moments: scores of tokens that come after the prompt, on the prompt's scale, and the running query statistics.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { futureRotation } from "../../src/cache/future-rotation";
import { RingScorer } from "../../src/cache/ring-scorer";
import type { Gpu } from "../../src/gpu/device";
import { StepBuffer } from "../../src/gpu/step";
import { keptLayout, momentFloats } from "../../src/kernels/scoring";
import type { RopePairing } from "../../src/model/model-config";
import { DEFAULTS, scorerByName } from "../../src/policy/scorers";
import type { ScoreOptions } from "../../src/policy/scorers/scorer";
import { type Dims, queryMoments, weighByValueNorm } from "../reference/expected-attention";
import { condensedLogits, logNormalizers, poolMoments, ringParts } from "../reference/group-moments";
import { followQueries, momentsOf, planesOf, unpackRecords } from "../reference/kept-moments";
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

  /** What ring-scores should give for `length` tokens when `position` comes next, from these records. */
  function reference(length: number, position: number, records: Float64Array): { ensemble: Float64Array; attention: Float64Array } {
    const { T, G } = dims;
    const anchor = meanUnitKey(prompt.keys, dims);
    const diversity = keyDiversity(prompt.keys, anchor, dims);
    const diversitySums = Array.from({ length: G }, (_, g) => diversity.subarray(g * T + dims.sinks, (g + 1) * T).reduce((a, b) => a + b, 0));
    const atPrompt = futureRotation(prompt.rope, D, T, options.futurePositions);
    const normalizers = logNormalizers(condensedLogits(pooled, atPrompt, pairing, prompt.keys, dims), dims);
    const ringDims: Dims = { ...dims, T: R, sinks: 0 };
    const now = futureRotation(prompt.rope, D, position, options.futurePositions);
    const kept = momentsOf(records, pairing, dims);
    const parts = ringParts({ pooled: kept, logNormalizers: normalizers, diversitySums, anchor: kept.anchor }, now, pairing, later.keys, ringDims);
    const blank = (scores: Float64Array): Float64Array => scores.map((score, n) => (n % R < length ? score : 0));
    return {
      ensemble: blank(parts.expected.map((e, n) => e / 2 + parts.diversity[n]! / 2)),
      attention: blank(weighByValueNorm(parts.expected, later.values, options.epsilon, ringDims)),
    };
  }

  test.each([1, R - 1, R])("scores of %d tokens in the ring, at their true position", async (length) => {
    for (const kind of ["ensemble", "expected-attention"] as const) {
      const { importance, records } = await runRing(prompt, later, { ...options, kind }, { length, position: 86, observed: 0 });
      const want = reference(length, 86, records);
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
      expectClose(importance.subarray(g * R, (g + 1) * R), want, tolerances.keptScore);
    }
  });

  test("moments follow the queries of later tokens, and the scores follow the moments", async () => {
    const observed = 3;
    const { importance, before, records } = await runRing(prompt, later, options, { length: R, position: 86, observed });
    const anchor = meanUnitKey(prompt.keys, dims);
    const floats = momentFloats({ headSize: D });
    for (let g = 0; g < dims.G; g++) {
      const planes = planesOf(pooled, g, pairing, D);
      expectClose(before.subarray(g * floats, g * floats + planes.length), planes, tolerances.half);
    }
    expectClose(momentsOf(before, pairing, dims).anchor, anchor, tolerances.half);
    let followed = before;
    for (let t = 0; t < observed; t++) followed = followQueries(followed, later.queries.subarray(t * dims.H * D, (t + 1) * dims.H * D), 1024, pairing, dims);
    expectClose(records, followed, tolerances.half);
    expect(Array.from({ length: dims.G }, (_, g) => records[(g + 1) * floats - 1])).toEqual(new Array(dims.G).fill(dims.T - dims.sinks + observed));
    expectClose(importance, reference(R, 86, records).ensemble, tolerances.score);
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
  const { layerBytes, first, words } = keptLayout(dims);
  const moments = gpu.createBuffer("test.moments", 2 * layerBytes, "kv");
  const { kept } = await scorePrompt(gpu, prompt, scoring);
  gpu.write(moments, layerBytes, kept);
  const recordsOf = (layer: Uint32Array): Float64Array => unpackRecords(layer.slice(first, first + G * words), { G, D });
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
    before: recordsOf(kept), // (G, 7 D/2 + 4), as the prompt left them
    records: recordsOf(new Uint32Array(await gpu.read(moments, layerBytes, layerBytes))),
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

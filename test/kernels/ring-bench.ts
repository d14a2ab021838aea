// ring-bench: scores tokens in a ring, as layer 1 of 2, after a prompt has left its statistics.

import { RingScorer } from "../../src/cache/ring-scorer";
import type { Gpu } from "../../src/gpu/device";
import { StepBuffer } from "../../src/gpu/step";
import { keptLayout } from "../../src/kernels/scoring";
import type { Calibration } from "../../src/policy/calibration";
import { DEFAULTS, scorerByName } from "../../src/policy/scorers";
import type { ScoreOptions } from "../../src/policy/scorers/scorer";
import type { Numbers } from "../reference/expected-attention";
import type { ScoringCase } from "../reference/scoring-case";
import { scorePrompt, scoringDims, uploadSlots } from "./score-bench";

export interface RingRun {
  /** Of the next token. */
  readonly position: number;
  /** Tokens in the ring. */
  readonly held: number;
  readonly calibration?: Calibration;
  /** Scores are put on the scale of a prompt whose scores sum to 1. */
  readonly normalise?: boolean;
}

/** @returns (G, ring) by position: the last is the newest; the ring has as many rows as `later` has tokens */
export async function scoreRing(
  gpu: Gpu,
  prompt: ScoringCase,
  later: ScoringCase,
  scoring: Partial<ScoreOptions> & Pick<ScoreOptions, "kind">,
  { position, held, calibration, normalise = false }: RingRun,
): Promise<number[]> {
  const scorer = scorerByName(scoring.kind);
  const options: ScoreOptions = { ...DEFAULTS, ...scorer.defaults, ...scoring };
  const { T: ring, H, G, D } = later.dims;
  const { sinks } = options;
  const slots = sinks + ring;
  const dims = scoringDims(prompt);
  const { layerBytes } = keptLayout(dims);
  const left = await scorePrompt(gpu, prompt, scoring, { normalise, ...(calibration && { calibration }) });
  const moments = gpu.createBuffer("test.moments", 2 * layerBytes, "kv");
  gpu.write(moments, layerBytes, left.kept);
  const factors = gpu.createBuffer("test.factors", 2 * G * 4, "kv");
  gpu.write(factors, G * 4, left.factors);
  const step = new StepBuffer(gpu, "test");
  const qkv = gpu.createBuffer("test.qkv", (H + 2 * G) * D * 4, "scratch");
  const upload = (rows: Numbers): GPUBuffer => uploadSlots(gpu, ringRows(rows, later, { sinks, position }), { T: slots, G, D }, slots, "f16");
  const layer = { keys: upload(later.keys), values: upload(later.values) };
  const layers = [layer, layer];
  const runner = new RingScorer(gpu, dims, scorer, options, {
    step: step.buffer,
    qkv,
    layers,
    moments,
    ringSlots: slots,
    owner: "test",
    ...(normalise && { factors: () => factors }),
    ...(calibration && { calibration }),
  });
  await gpu.kernels.ready();
  step.write({ tokens: 1, firstPosition: position, context: held, ringLength: slots });
  runner.prepare(position);
  const recorder = gpu.record();
  runner.score(recorder, 1);
  recorder.submit();
  const scores = new Float32Array(await gpu.read(runner.importance, 0, G * slots * 4));
  runner.dispose();
  step.dispose();
  for (const buffer of [moments, factors, qkv, layer.keys, layer.values]) gpu.destroyBuffer(buffer);
  const row = (n: number): number => sinks + ((position - ring + (n % ring)) % ring);
  return Array.from({ length: G * ring }, (_, n) => scores[Math.floor(n / ring) * slots + row(n)]!);
}

/** (G, ring, D) by position as the ring's rows (G, sinks + ring, D): the token at position p stands in row sinks + p % ring. Sinks' rows are of ones. */
export function ringRows(rows: Numbers, { dims }: ScoringCase, { sinks, position }: { readonly sinks: number; readonly position: number }): Float64Array {
  const { T: ring, G, D } = dims;
  const placed = new Float64Array(G * (sinks + ring) * D).fill(1);
  for (let g = 0; g < G; g++)
    for (let n = 0; n < ring; n++)
      for (let i = 0; i < D; i++) placed[(g * (sinks + ring) + sinks + ((position - ring + n) % ring)) * D + i] = rows[(g * ring + n) * D + i]!;
  return placed;
}

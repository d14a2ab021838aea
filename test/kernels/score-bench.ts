// score-bench: puts a scoring case on the device and runs a PromptScorer over it in chunks, as a prefill does; or runs one of its kernels.

import { PromptScorer } from "../../src/cache/prompt-scorer";
import type { Gpu } from "../../src/gpu/device";
import type { BufferView } from "../../src/gpu/kernel";
import type { Op } from "../../src/gpu/recorder";
import { StepBuffer } from "../../src/gpu/step";
import { createScoreParams, type KeyStorage, keptLayout, momentFloats, type ScoringDims } from "../../src/kernels/scoring";
import type { Calibration } from "../../src/policy/calibration";
import { DEFAULTS, scorerByName } from "../../src/policy/scorers";
import type { PromptView, ScoreOptions, Scorer } from "../../src/policy/scorers/scorer";
import type { Dims, Numbers } from "../reference/expected-attention";
import { packHalves, type ScoringCase } from "../reference/scoring-case";

export interface Scored {
  readonly importance: Float32Array; // (G, T)
  readonly queryEnergy: Float32Array; // (G)
  readonly factors: Float32Array; // (G)
  readonly moments: Float32Array; // (G, 7 D/2 + 4)
  readonly kept: Uint32Array; // statistics of the layer: keptLayout
}

export interface ScoreRun {
  readonly chunk?: number;
  /** The first so many positions are the prompt, the others its replay; all by default. */
  readonly tokens?: number;
  readonly storage?: KeyStorage;
  /** Spare rows per head of the key and value buffers. */
  readonly spare?: number;
  /** Scores of a head sum to 1. */
  readonly normalise?: boolean;
  readonly calibration?: Calibration;
  /** W_o^T W_o of layers 0 and 1, (2, G, D, D). */
  readonly outputGrams?: Numbers;
}

export function scoringDims({ dims, rope }: ScoringCase): ScoringDims {
  return { heads: dims.H, kvHeads: dims.G, headSize: dims.D, rope };
}

export async function scorePrompt(
  gpu: Gpu,
  given: ScoringCase,
  scoring: Partial<ScoreOptions> & Pick<ScoreOptions, "kind">,
  run: ScoreRun = {},
): Promise<Scored> {
  const options: ScoreOptions = { ...DEFAULTS, ...scorerByName(scoring.kind).defaults, ...scoring };
  const { G } = given.dims;
  const { tokens = given.dims.T } = run;
  const { layerBytes } = keptLayout(scoringDims(given));
  return runPrompt(gpu, given, scorerByName(options.kind), options, { ...run, tokens }, async (scorer, target) => ({
    importance: await readSome(gpu, scorer.importance, 0, G * tokens),
    queryEnergy: await readSome(gpu, scorer.queryEnergy, 0, G),
    factors: await readSome(gpu, scorer.queryEnergy, G * 4, G),
    moments: await readSome(gpu, scorer.moments, 0, G * momentFloats(scoringDims(given))),
    kept: new Uint32Array(await gpu.read(target, layerBytes, layerBytes)),
  }));
}

/** A statistic of the view, (count) f32, when the first `tokens` positions are the prompt and the others its replay. */
export async function gatherStatistic(
  gpu: Gpu,
  given: ScoringCase,
  { tokens, chunk, count }: { tokens: number; chunk: number; count: number },
  ask: (view: PromptView) => BufferView,
): Promise<Float32Array> {
  let asked: BufferView | undefined;
  const scorer: Pick<Scorer, "prompt"> = {
    prompt(view) {
      asked = ask(view);
    },
  };
  return runPrompt(gpu, given, scorer, { ...DEFAULTS, kind: "snapkv", sinks: given.dims.sinks }, { tokens, chunk }, () =>
    readSome(gpu, asked as GPUBuffer, 0, count),
  );
}

/** Runs a prompt's chunks, and those of a replay after it, through a PromptScorer, as both layers of 2: the second must not see the first. */
async function runPrompt<Result>(
  gpu: Gpu,
  given: ScoringCase,
  method: Pick<Scorer, "prompt">,
  options: ScoreOptions,
  { tokens: promptTokens, chunk = 32, storage = "f16", spare = 3, normalise = false, calibration, outputGrams }: ScoreRun & { readonly tokens: number },
  read: (scorer: PromptScorer, moments: GPUBuffer) => Promise<Result>,
): Promise<Result> {
  const { T, H, G, D } = given.dims;
  const capacity = T + spare;
  const step = new StepBuffer(gpu, "test");
  const width = (H + 2 * G) * D;
  const qkv = gpu.createBuffer("test.qkv", chunk * width * 4, "scratch");
  const rotated = gpu.createBuffer("test.rotated", chunk * H * D * 4, "scratch");
  const keys = uploadSlots(gpu, given.keys, given.dims, capacity, storage);
  const values = uploadSlots(gpu, given.values, given.dims, capacity, storage);
  const target = gpu.createBuffer("test.moments", 2 * keptLayout(scoringDims(given)).layerBytes, "kv");
  const grams = gpu.createBuffer("test.grams", (outputGrams?.length ?? 0) * 4, "scratch");
  const fill = (): void => gpu.write(grams, 0, Float32Array.from(outputGrams ?? []));
  const scorer = new PromptScorer(gpu, scoringDims(given), method, options, {
    step: step.buffer,
    qkv,
    rotated,
    keys,
    values,
    capacity,
    promptTokens,
    owner: "test",
    momentsTarget: target,
    keyStorage: storage,
    normalise,
    ...(calibration && { calibration }),
    ...(outputGrams && { outputGrams: () => ({ buffer: grams, record: fill }) }),
  });
  await gpu.kernels.ready();
  const created = gpu.objectsCreated;
  const runChunk = (layer: number, first: number, end: number): void => {
    const tokens = Math.min(chunk, end - first);
    step.write({ tokens, firstRow: first, firstPosition: first, keyRow: first, context: first + tokens });
    const rows = new Float32Array(tokens * width).map((_, n) =>
      n % width < H * D ? given.queries[(first + Math.floor(n / width)) * H * D + (n % width)]! : 1e6,
    );
    gpu.write(qkv, 0, rows);
    gpu.write(rotated, 0, Float32Array.from(given.rotated.subarray(first * H * D, (first + tokens) * H * D)));
    const recorder = gpu.record();
    if (first === 0) scorer.begin(recorder, layer);
    scorer.gather(recorder, tokens, first, first >= promptTokens);
    if (first + tokens === T) scorer.finish(recorder);
    recorder.submit();
  };
  for (let layer = 0; layer < 2; layer++) {
    for (let first = 0; first < promptTokens; first += chunk) runChunk(layer, first, promptTokens);
    for (let first = promptTokens; first < T; first += chunk) runChunk(layer, first, T);
  }
  if (gpu.objectsCreated !== created) throw new Error(`recording made ${gpu.objectsCreated - created} GPU objects`);
  const result = await read(scorer, target);
  scorer.dispose();
  step.dispose();
  for (const buffer of [qkv, rotated, keys, values, target, grams]) gpu.destroyBuffer(buffer);
  return result;
}

async function readSome(gpu: Gpu, buffer: GPUBuffer, offset: number, count: number): Promise<Float32Array> {
  return new Float32Array(await gpu.read(buffer, offset, count * 4)).subarray(0, count); // buffers have at least 16 bytes
}

/** (G, T, D) rows as (G, capacity, D) in the storage asked for. Spare rows are NaN: nothing may read them. */
export function uploadSlots(gpu: Gpu, rows: Numbers, { T, G, D }: { T: number; G: number; D: number }, capacity: number, storage: KeyStorage): GPUBuffer {
  const buffer = gpu.createBuffer("test.slots", G * capacity * D * (storage === "f16" ? 2 : 4), "staging");
  for (let g = 0; g < G; g++) {
    const head = Array.from({ length: capacity * D }, (_, n) => (n < T * D ? (rows[g * T * D + n] ?? Number.NaN) : Number.NaN));
    if (storage === "f32") gpu.write(buffer, g * capacity * D * 4, Float32Array.from(head));
    else {
      const packed = new Uint32Array((capacity * D) / 2).fill(0x7e007e00);
      packed.set(packHalves(head.slice(0, T * D)));
      gpu.write(buffer, g * capacity * D * 2, packed);
    }
  }
  return buffer;
}

/** A device with buffers of numbers, for tests of one scoring kernel. */
export class KernelBench {
  readonly #buffers: GPUBuffer[] = [];

  constructor(readonly gpu: Gpu) {}

  /** A buffer holding the numbers as f32, or as many zeros. */
  floats(data: Numbers | number): GPUBuffer {
    const values = typeof data === "number" ? new Float32Array(data) : Float32Array.from(data);
    const buffer = this.keep(this.gpu.createBuffer("test.floats", values.byteLength, "scratch"));
    this.gpu.write(buffer, 0, values);
    return buffer;
  }

  /** Parameters of a prompt whose keys have no spare rows. */
  params({ T, sinks }: { T: number; sinks: number }, { capacity = T, epsilon = 0 } = {}): GPUBuffer {
    return this.keep(createScoreParams(this.gpu, "test", { tokens: T, sinks, capacity, epsilon }));
  }

  keep(buffer: GPUBuffer): GPUBuffer {
    this.#buffers.push(buffer);
    return buffer;
  }

  /** Runs the op once, then reads `count` floats of the buffer. */
  async run(op: Op, buffer: GPUBuffer, count: number): Promise<Float32Array> {
    await this.gpu.kernels.ready();
    const recorder = this.gpu.record();
    op.record(recorder);
    recorder.submit();
    return this.read(buffer, count);
  }

  async read(buffer: GPUBuffer, count: number): Promise<Float32Array> {
    return new Float32Array(await this.gpu.read(buffer)).subarray(0, count);
  }

  dispose(): void {
    for (const buffer of this.#buffers.splice(0)) this.gpu.destroyBuffer(buffer);
    this.gpu.dispose();
  }
}

/** What query-moments leaves: the first query past the sinks, and the sums around it. (H, D) and (H, D + 1, D). */
export function referenceSums(queries: Numbers, { T, H, D, sinks }: Dims): { pivot: Float64Array; sums: Float64Array } {
  const pivot = Float64Array.from({ length: H * D }, (_, n) => queries[sinks * H * D + n]!);
  const sums = new Float64Array(H * (D + 1) * D);
  for (let t = sinks; t < T; t++)
    for (let h = 0; h < H; h++) {
      const away = Array.from({ length: D }, (_, i) => queries[(t * H + h) * D + i]! - pivot[h * D + i]!);
      for (let i = 0; i <= D; i++) for (let j = 0; j < D; j++) sums[(h * (D + 1) + i) * D + j]! += (away[i] ?? 1) * away[j]!;
    }
  return { pivot, sums };
}

// calibrate: measures once of a model what its compression needs to know, from the bundled text: statistics layer by layer, then what
// rounding does to two continuations: the key floor, the layers' sensitivities, their shares of the bytes. Runs in a page, a worker and Node alike.
// Leaves to others: the file (file.ts), where it is kept (find.ts). Source: methods.md 10.1 and 10.3, design 4.7.

import { FORMATS } from "../cache/formats";
import type { Runtime } from "../generate/runtime";
import type { Transformer } from "../model/transformer";
import type { Calibration } from "../policy/calibration";
import { resolvePolicy } from "../policy/policy";
import { Replay } from "./replay";
import type { CostRule } from "./shares";
import { type HeadDims, headStatistics, type QueryMoments, queryMoments } from "./statistics";
import { Study, type StudyLayer } from "./study";
import { survey } from "./survey";
import { calibrationIds } from "./texts";

export interface CalibrationProgress {
  readonly stage: "text" | "sensitivity" | "shares";
  readonly done: number;
  readonly total: number;
}

export interface CalibrateOptions {
  /** SHA-256 of the model's file, hexadecimal. */
  readonly model: string;
  /**
   * Measure the layers' sensitivities and choose shares by what they do. Without, sensitivity is 1 / residual power and shares follow from its
   * root. Default: on hardware adapters, and everywhere for models of at most 8 layers: software takes minutes for 30.
   */
  readonly measure?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CalibrationProgress) => void;
  /** Told what was measured and chosen, line by line. */
  readonly say?: (line: string) => void;
}

/** Layers up to which a software adapter measures everything by default. */
const FEW_LAYERS = 8;

/** Throws ABORTED, CONTEXT_FULL, and what the GPU throws; nothing stays on it. */
export async function calibrate(runtime: Runtime, options: CalibrateOptions): Promise<Calibration> {
  const { transformer } = runtime;
  const { config, gpu } = transformer;
  const { signal, onProgress } = options;
  const rules = (ratio: number): CostRule => resolvePolicy("rate-distortion", undefined, ratio);
  const ids = calibrationIds(runtime);
  const dims: HeadDims = { heads: config.heads, kvHeads: config.kvHeads, headSize: config.headSize, sinks: rules(1).sinks };
  const layers = await readText(transformer, ids.document, dims, options);
  const study = new Study(layers, rules, dims, {
    ...(options.say && { say: options.say }),
    onProgress: (stage, done, total) => onProgress?.({ stage, done, total }),
  });
  const measure = options.measure ?? (!gpu.software || config.layers <= FEW_LAYERS);
  const over = async <T>(continuation: readonly number[], run: (replay: Replay) => Promise<T>): Promise<T> => {
    const replay = new Replay(transformer, ids.document, continuation, layers, signal);
    try {
      await replay.begin();
      return await run(replay);
    } finally {
      replay.dispose();
    }
  };
  const { keyFloor, sensitivity } = await over(ids.first, async (replay) => ({
    keyFloor: await study.findFloor(replay),
    sensitivity: measure ? await study.sensitivities(replay) : layers.map(({ residualPower }) => 1 / (residualPower || 1)),
  }));
  const shares = measure ? await over(ids.second, (replay) => study.bestShares(replay, sensitivity)) : study.plainShares();
  return {
    model: options.model,
    layers: config.layers,
    ...dims,
    ...arraysOf(layers),
    sensitivity: Float32Array.from(sensitivity),
    shares,
    ...(keyFloor && { keyFloor }),
  };
}

interface MeasuredLayer extends StudyLayer {
  readonly moments: readonly QueryMoments[]; // (H)
}

async function readText(transformer: Transformer, ids: readonly number[], dims: HeadDims, options: CalibrateOptions): Promise<MeasuredLayer[]> {
  const layers: MeasuredLayer[] = [];
  const started = performance.now();
  await survey(
    transformer,
    ids,
    (layer, index) => {
      const { tokens, keys, values, importance, residualPower } = layer;
      const heads = Array.from({ length: dims.kvHeads }, (_, head) => headStatistics(layer, head, dims));
      const moments = Array.from({ length: dims.heads }, (_, head) => queryMoments(layer, head, dims));
      layers.push({ tokens, keys, values, importance, residualPower, heads, moments });
      options.onProgress?.({ stage: "text", done: index + 1, total: transformer.config.layers });
    },
    options.signal,
  );
  options.say?.(`statistics of ${ids.length} tokens after ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return layers;
}

/** Layers' numbers as the calibration's flat arrays. */
function arraysOf(layers: readonly MeasuredLayer[]) {
  const heads = layers.flatMap((layer) => layer.heads);
  const moments = layers.flatMap((layer) => layer.moments);
  const joined = (parts: readonly ArrayLike<number>[]): Float32Array => Float32Array.from(parts.flatMap((part) => Array.from(part)));
  return {
    keyMeans: joined(heads.map((head) => head.keyMean)),
    valueMeans: joined(heads.map((head) => head.valueMean)),
    keyBasis: joined(heads.map((head) => head.keyBasis)),
    queryBasis: joined(heads.map((head) => head.queryBasis)),
    groupScales: joined(heads.map((head) => head.groupScales)),
    errors: FORMATS.map(({ name }, index) => ({
      format: name,
      key: joined([heads.map((head) => head.keyErrors[index] ?? 0)]),
      value: joined([heads.map((head) => head.valueErrors[index] ?? 0)]),
    })),
    residualPower: joined([layers.map((layer) => layer.residualPower)]),
    queryMean: joined(moments.map(({ mean }) => mean)),
    queryCovariance: joined(moments.map(({ covariance }) => covariance)),
    queryDirection: joined(heads.map((head) => head.queryDirection)),
  };
}

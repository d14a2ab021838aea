// bench-model: a catalogue's model on this machine's GPU with its parts in reach, which the engine's interface hides.

import { findModel } from "../../models/catalog";
import { createBases } from "../../src/cache/bases";
import { findCalibration } from "../../src/calibrate/find";
import { createRuntime, type Runtime } from "../../src/generate/runtime";
import { warmUp } from "../../src/generate/warm-up";
import { type Gpu, openGpu } from "../../src/gpu/device";
import { loadModel } from "../../src/load/load-model";
import { Transformer } from "../../src/model/transformer";
import { diskStore } from "../../src/node/calibration-files";
import { fetchModel } from "../../src/node/fetch-model";
import { fileSource } from "../../src/node/file-source";
import { readBundled } from "../../src/node/load-in-node";
import { nodeGpu } from "../../src/node/open-gpu";

export interface BenchModel {
  readonly name: string;
  readonly gpu: Gpu;
  readonly transformer: Transformer;
  readonly runtime: Runtime;
  readonly fileBytes: number;
  /** Kernels of all presets compiled, weights uploaded; reported apart from speeds. */
  readonly loadMs: number;
  dispose(): void;
}

/** Positions prepared for, as the engine does by default. */
const CONTEXT = 8192;

/** @param least positions to prepare for, were they more than the model knows of */
export async function openBenchModel(name: string, say: (line: string) => void, least = 0): Promise<BenchModel> {
  const path = await fetchModel(name, { say });
  const gpu = await openGpu({ gpu: await nodeGpu() });
  const started = performance.now();
  const source = await fileSource(path);
  try {
    const sha256 = findModel(name)?.sha256;
    const model = await loadModel(gpu, source, { verify: true, ...(sha256 === undefined ? {} : { sha256 }) });
    const transformer = new Transformer(gpu, model.config, model.weights, Math.max(least, Math.min(CONTEXT, model.config.context)));
    const calibration = await findCalibration(sha256 ?? "", readBundled, diskStore());
    if (calibration) transformer.codec = { calibration, bases: createBases(gpu, calibration) };
    await warmUp(transformer);
    return {
      name,
      gpu,
      transformer,
      runtime: createRuntime(transformer, model.tokenizer),
      fileBytes: model.bytes,
      loadMs: performance.now() - started,
      dispose: () => gpu.dispose(),
    };
  } finally {
    await source.close?.();
  }
}

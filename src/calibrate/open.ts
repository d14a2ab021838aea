// open: a model on a GPU with nothing around it but what a calibration runs on. Leaves to others: engines that answer requests (engine.ts).

import type { Progress } from "../engine-types";
import { createRuntime, type Runtime } from "../generate/runtime";
import { openGpu } from "../gpu/device";
import type { ByteSource } from "../load/byte-source";
import { loadModel } from "../load/load-model";
import { Transformer } from "../model/transformer";

export interface OpenModel {
  readonly runtime: Runtime;
  /** Of the file, measured. */
  readonly sha256: string;
  readonly adapter: string;
  dispose(): void;
}

/** Positions prepared for: more than the text has for any tokenizer. */
const CONTEXT = 4096;

/** Loads a model, its hash measured. Throws what openGpu and loadModel throw; the source stays the caller's to close. */
export async function openModel(
  source: ByteSource,
  options: { readonly gpu?: GPU; readonly signal?: AbortSignal; readonly onProgress?: (progress: Progress) => void } = {},
): Promise<OpenModel> {
  const { signal, onProgress } = options;
  const gpu = await openGpu({ ...(options.gpu && { gpu: options.gpu }) });
  try {
    const {
      config,
      weights,
      tokenizer,
      sha256 = "",
    } = await loadModel(gpu, source, { verify: true, ...(signal && { signal }), ...(onProgress && { onProgress }) });
    const transformer = new Transformer(gpu, config, weights, Math.min(CONTEXT, config.context));
    return { runtime: createRuntime(transformer, tokenizer), sha256, adapter: gpu.description, dispose: () => gpu.dispose() };
  } catch (error) {
    gpu.dispose();
    throw error;
  }
}

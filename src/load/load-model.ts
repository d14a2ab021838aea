// load-model: from a source to a model on the GPU: header, hash, weights, in this order, so that bad input fails early.

import type { Gpu } from "../gpu/device";
import type { ModelConfig } from "../model/model-config";
import type { ModelWeights } from "../model/weights";
import type { TokenizerMetadata } from "../text/tokenizer-metadata";
import type { ByteSource } from "./byte-source";
import { readHeader } from "./gguf";
import { hashMismatch, hashSource } from "./hash";
import { disposeWeights, loadWeights, type UploadOptions } from "./upload";

export interface LoadModelOptions extends UploadOptions {
  /** The file's SHA-256, if it is known. Taken as true unless `verify`. */
  readonly sha256?: string;
  /** Hash the file before uploading it; throws HASH_MISMATCH if it is not `sha256`. */
  readonly verify?: boolean;
  /** Positions that will be used, if fewer than the model's. */
  readonly context?: number;
}

export interface LoadedModel {
  readonly config: ModelConfig;
  readonly weights: ModelWeights;
  readonly tokenizer: TokenizerMetadata;
  /** Size of the file. What its weights take on the GPU is in the ledger under role "weights". */
  readonly bytes: number;
  readonly sha256?: string;
  dispose(): void;
}

/** Loads a GGUF. The source stays the caller's to close. Throws what readHeader, loadWeights and hashing throw; nothing leaks. */
export async function loadModel(gpu: Gpu, source: ByteSource, options: LoadModelOptions = {}): Promise<LoadedModel> {
  const header = await readHeader(source, options);
  let { sha256 } = options;
  if (options.verify) {
    const found = await hashSource(source, options);
    if (sha256 !== undefined && found !== sha256) throw hashMismatch(source.name, found, sha256);
    sha256 = found;
  }
  const weights = await loadWeights(gpu, source, header, options);
  return {
    config: header.config,
    weights,
    tokenizer: header.tokenizer,
    bytes: source.size,
    ...(sha256 === undefined ? {} : { sha256 }),
    dispose: () => disposeWeights(gpu, weights),
  };
}

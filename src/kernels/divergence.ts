// divergence: shaders/divergence.wgsl, and how its result reads.

import code from "../../shaders/divergence.wgsl?raw";
import type { ScoredToken } from "../engine-types";
import type { Gpu } from "../gpu/device";
import type { Recorder } from "../gpu/recorder";

/** Size of the result. */
export const DIVERGENCE_BYTES = 20;

export interface DivergenceArgs {
  readonly logits: GPUBuffer; // (V) f32, of the compressed cache
  readonly fullLogits: GPUBuffer; // (V) f32
  readonly next: GPUBuffer; // u32, the forced id
  readonly result: GPUBuffer; // DIVERGENCE_BYTES
  readonly vocab: number; // V
}

/** KL(full || compressed) in nats, as a sum of terms that are never negative, and the forced token's log-probabilities. */
export function bindDivergence(gpu: Gpu, { logits, fullLogits, next, result, vocab }: DivergenceArgs): { record(recorder: Recorder): void } {
  const kernel = gpu.kernels.get({ name: "divergence", code: [code], bindings: ["read", "read", "read", "write"], constants: { V: vocab } });
  const group = kernel.bind([logits, fullLogits, next, result]);
  return { record: (recorder) => recorder.dispatch(kernel, group, 1) };
}

/** What came back from the GPU. */
export function readDivergence(bytes: ArrayBuffer): Omit<ScoredToken, "id"> {
  const [logprob = Number.NaN, fullLogprob = Number.NaN, kl = Number.NaN] = new Float32Array(bytes);
  const [, , , first = 0, fullFirst = 0] = new Uint32Array(bytes);
  return { logprob, fullLogprob, kl, top1: first === fullFirst, first, fullFirst };
}

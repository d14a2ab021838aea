// scoring: what the kernels that score slots have in common: dims, the parameters of one prompt, how keys are stored.

import f16 from "../../shaders/lib/keys-f16.wgsl?raw";
import f32 from "../../shaders/lib/keys-f32.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { ModelConfig } from "../model/model-config";

/** The part of a model that scoring depends on. */
export type ScoringDims = Pick<ModelConfig, "heads" | "kvHeads" | "headSize" | "rope">;

/** f16 pairs, the engine's storage; f32 is for tests against references that never rounded their keys. */
export type KeyStorage = "f16" | "f32";

export function keyLibrary(storage: KeyStorage): string {
  return storage === "f16" ? f16 : f32;
}

/** Value of the shaders' HALF. */
export function halfPairing({ rope }: ScoringDims): number {
  return rope.pairing === "half" ? 1 : 0;
}

/** Longest window of last queries whose attention is looked at. */
export const WINDOW = 32;

/** Slots one workgroup of the four-slots kernels covers. */
export const BLOCK = 256;

/** Values of shaders/lib/score-params.wgsl. */
export interface ScoreParams {
  readonly tokens: number;
  readonly sinks: number;
  readonly capacity: number;
  readonly epsilon: number;
}

/** The uniform of a prompt's scoring, written once. */
export function createScoreParams(gpu: Gpu, owner: string, { tokens, sinks, capacity, epsilon }: ScoreParams): GPUBuffer {
  const buffer = gpu.createBuffer(`${owner}.scoreParams`, 32, "staging", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, owner });
  gpu.write(buffer, 0, new Uint32Array([tokens, sinks, capacity, Math.min(WINDOW, tokens)]));
  gpu.write(buffer, 16, new Float32Array([epsilon]));
  return buffer;
}

/** Floats of one kv head's record of moments (shaders/lib/moments-record.wgsl), and bytes of a layer's, padded so that it can be bound. */
export function momentsLayout({ kvHeads, headSize }: Pick<ScoringDims, "kvHeads" | "headSize">): { readonly floats: number; readonly layerBytes: number } {
  const floats = (7 * headSize) / 2 + 4;
  return { floats, layerBytes: Math.ceil((kvHeads * floats * 4) / 256) * 256 };
}

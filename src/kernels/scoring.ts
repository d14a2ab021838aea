// scoring: what the kernels that score slots have in common: dims, the parameters of one prompt, how keys are stored.

import f16 from "../../shaders/lib/keys-f16.wgsl?raw";
import f32 from "../../shaders/lib/keys-f32.wgsl?raw";
import momentsF16 from "../../shaders/lib/moments-f16.wgsl?raw";
import momentsF32 from "../../shaders/lib/moments-f32.wgsl?raw";
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
  const buffer = gpu.createBuffer(`${owner}.scoreParams`, 16, "staging", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, owner });
  gpu.write(buffer, 0, new Uint32Array([tokens, sinks, capacity]));
  gpu.write(buffer, 12, new Float32Array([epsilon]));
  return buffer;
}

/** How the attention of several queries is folded, in the order of QueryRange.reduce. */
const REDUCE = ["sum", "max", "squares", "max-of-mean"] as const;

/** Values of QueryRange in shaders/lib/chunk-logits.wgsl. */
export interface QueryRange {
  /** Slots that are looked at: those of the prompt. */
  readonly tokens: number;
  /** Rows per head of the key buffer. */
  readonly capacity: number;
  /** Position from which on queries count. */
  readonly firstQuery: number;
  /** A slot's queries are those `nearest` to `farthest` positions after it; all by default. */
  readonly nearest?: number;
  readonly farthest?: number;
  /** Weight of a query over that of the next one; 1 by default. */
  readonly decay?: number;
  /** Over queries; sum by default. Sums and squares are of the mean over a group's heads. */
  readonly reduce?: (typeof REDUCE)[number];
  readonly headSize: number;
}

/** The uniform of what is gathered of a prompt's attention, written once. */
export function createQueryRange(gpu: Gpu, owner: string, range: QueryRange): GPUBuffer {
  const { tokens, capacity, firstQuery, nearest = 0, farthest = 0xffffffff, decay = 1, reduce = "sum", headSize } = range;
  const buffer = gpu.createBuffer(`${owner}.queryRange`, 32, "staging", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, owner });
  gpu.write(buffer, 0, new Uint32Array([tokens, capacity, firstQuery, nearest, farthest]));
  gpu.write(buffer, 20, new Float32Array([decay]));
  gpu.write(buffer, 24, new Uint32Array([REDUCE.indexOf(reduce), headSize / 4]));
  return buffer;
}

/** Floats of one kv head's record of moments as a prompt's scorer has it (shaders/lib/moments-record.wgsl). */
export function momentFloats({ headSize }: Pick<ScoringDims, "headSize">): number {
  return (7 * headSize) / 2 + 4;
}

/** A layer's moments as a cache keeps them (shaders/lib/moments-f16.wgsl), behind two floats a kv head: E|q|^2 and the factors of its scores. */
export interface KeptLayout {
  /** Word where the records begin. */
  readonly first: number;
  /** Words of one kv head's record. */
  readonly words: number;
  /** Of all that, padded so that it can be bound. */
  readonly layerBytes: number;
}

export function keptLayout({ kvHeads, headSize }: Pick<ScoringDims, "kvHeads" | "headSize">): KeptLayout {
  const first = Math.ceil(kvHeads / 2) * 4;
  const words = (7 * headSize) / 4 + 4;
  return { first, words, layerBytes: Math.ceil(((first + kvHeads * words) * 4) / 256) * 256 };
}

/** How a kernel reads moments: as a prompt's scorer has them, or as a cache keeps them. */
export function momentsLibrary(kept: boolean, dims: ScoringDims): { readonly code: string; readonly constants: Readonly<Record<string, number>> } {
  return kept ? { code: momentsF16, constants: { FIRST: keptLayout(dims).first } } : { code: momentsF32, constants: {} };
}

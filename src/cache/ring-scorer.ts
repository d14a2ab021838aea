// ring-scorer: runs a method's scores over the tokens in the ring when they are compressed while decoding; and keeps the condensed moments that
// a PromptScorer left behind following the queries of the text being written. Leaves to others: what a score is (src/policy/scorers).

import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op, Recorder } from "../gpu/recorder";
import { normaliseScores } from "../kernels/normalise-scores";
import type { KeyStorage, ScoringDims } from "../kernels/scoring";
import { updateMoments } from "../kernels/update-moments";
import type { Calibration } from "../policy/calibration";
import type { ScoreOptions, Scorer } from "../policy/scorers/scorer";
import { futureRotation } from "./future-rotation";
import { keptMoments } from "./statistics";

/** Tokens that count towards the running query statistics at most: older ones fade with this time constant. */
const MEMORY_TOKENS = 1024;

export interface RingBuffers {
  readonly step: GPUBuffer;
  readonly qkv: BufferView; // one row, (H + 2G) D f32, before RoPE
  /** The ring's keys and values per layer, (G, ringSlots, D/2) f16 pairs. */
  readonly layers: readonly { readonly keys: BufferView; readonly values: BufferView }[];
  /** Statistics as PromptScorer left them (statistics.ts). */
  readonly moments: GPUBuffer;
  readonly ringSlots: number;
  readonly owner: string;
  /** What a layer's prompt scores were multiplied by, (2, G) f32 as PromptScorer's queryEnergy; absent where they were not. */
  readonly factors?: (layer: number) => BufferView;
  readonly calibration?: Calibration;
  /** (G, ringSlots) f32 of a layer: mean attention from each query since a row's own; where the method asks for it. */
  readonly received?: (layer: number) => BufferView;
  /** W_o^T W_o of every layer, where the method asks for it. */
  readonly outputGrams?: BufferView;
  /** f32 in tests only. */
  readonly keyStorage?: KeyStorage;
}

export class RingScorer {
  readonly importance: GPUBuffer; // (G, ringSlots) f32 of the layer last recorded; 0 past step.ringLength
  readonly #rotation: GPUBuffer; // (D/2) vec2f
  readonly #created: GPUBuffer[] = [];
  readonly #score: readonly (readonly Op[])[]; // by layer
  readonly #observe: readonly Op[];

  constructor(
    private readonly gpu: Gpu,
    private readonly dims: ScoringDims,
    scorer: Pick<Scorer, "ring">,
    private readonly options: ScoreOptions,
    buffers: RingBuffers,
  ) {
    const { step, qkv, ringSlots: slots, owner, calibration, keyStorage: storage = "f16" } = buffers;
    this.importance = gpu.createBuffer(`${owner}.ringImportance`, dims.kvHeads * slots * 4, "scratch", { owner });
    this.#rotation = gpu.createBuffer(`${owner}.ringRotation`, dims.headSize * 4, "scratch", { owner });
    const momentsOf = (layer: number): BufferView => keptMoments(buffers.moments, dims, layer);
    const create = (part: string, floats: number, usage?: GPUBufferUsageFlags): GPUBuffer => {
      const buffer = gpu.createBuffer(`${owner}.${part}`, floats * 4, "scratch", { owner, ...(usage ? { usage } : {}) });
      this.#created.push(buffer);
      return buffer;
    };
    const indices = create("layers", 64 * buffers.layers.length, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    gpu.write(
      indices,
      0,
      Uint32Array.from({ length: 64 * buffers.layers.length }, (_, n) => (n % 64 === 0 ? n / 64 : 0)),
    );
    const shared = {
      gpu,
      dims,
      step,
      slots,
      storage,
      rotation: this.#rotation,
      importance: this.importance,
      outputGrams: buffers.outputGrams,
      calibration,
      create,
    };
    this.#score = buffers.layers.map(({ keys, values }, layer) => {
      const layerIndex = { buffer: indices, offset: layer * 256, size: 16 };
      const score = scorer.ring({ ...shared, layer, layerIndex, received: buffers.received?.(layer), keys, values, moments: momentsOf(layer) }, options);
      const factors = buffers.factors?.(layer);
      const range = { step, slots, sinks: options.sinks };
      return factors ? [score, normaliseScores(gpu, dims, { range, importance: this.importance, factors, first: dims.kvHeads })] : [score];
    });
    this.#observe = buffers.layers.map((_, layer) => updateMoments(gpu, dims, { qkv, moments: momentsOf(layer), limit: MEMORY_TOKENS }));
  }

  /** Before the submit that scores: `position` is the next one to be decoded, the first of the future the scores look into. */
  prepare(position: number): void {
    const { rope, headSize } = this.dims;
    this.gpu.write(this.#rotation, 0, Float32Array.from(futureRotation(rope, headSize, position, this.options.futurePositions)));
  }

  /** Writes importance of one layer's ring. */
  score(recorder: Recorder, layer: number): void {
    for (const op of this.#score[layer] ?? []) op.record(recorder);
  }

  /** Takes the current token's queries (row 0 of qkv) into the layer's moments. Optional: without it they stay the prompt's. */
  observe(recorder: Recorder, layer: number): void {
    this.#observe[layer]?.record(recorder);
  }

  dispose(): void {
    this.gpu.destroyBuffer(this.importance);
    this.gpu.destroyBuffer(this.#rotation);
    for (const buffer of this.#created.splice(0)) this.gpu.destroyBuffer(buffer);
  }
}

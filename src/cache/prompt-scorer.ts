// prompt-scorer: importance of a prompt's slots, layer after layer, from the queries and keys of the prefill, all on the GPU.
// Leaves to others: what to do with importance (compression), and scoring of tokens that come later (ring-scorer.ts).

import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { BufferRole } from "../gpu/ledger";
import type { Op, Recorder } from "../gpu/recorder";
import { expectedAttention } from "../kernels/expected-attention";
import { groupMoments } from "../kernels/group-moments";
import { importance } from "../kernels/importance";
import { keyDiversity } from "../kernels/key-diversity";
import { meanKey } from "../kernels/mean-key";
import { queryMoments } from "../kernels/query-moments";
import { rotateMoments } from "../kernels/rotate-moments";
import { createScoreParams, type KeyStorage, momentsLayout, type ScoringDims, WINDOW } from "../kernels/scoring";
import { slotNorms } from "../kernels/slot-norms";
import { windowAttention } from "../kernels/window-attention";
import { windowNormalizers } from "../kernels/window-normalizers";
import { futureRotation } from "./future-rotation";

export interface ScoreOptions {
  /** expected-attention: kvpress's score. ensemble: EA/4 + SnapKV/4 + key diversity/2, sum 1 over a head's slots (methods.md 10.3). */
  readonly kind: "expected-attention" | "ensemble";
  /** Positions to come over which RoPE is averaged, e.g. 512. */
  readonly futurePositions: number;
  /** First positions, left out of statistics and scores. */
  readonly sinks: number;
  /** Added to the expected attention before the value norm; expected-attention only. */
  readonly epsilon: number;
  /** Multiply by |v|; expected-attention only (a cost rule has its own value energy). */
  readonly valueNorm: boolean;
}

export interface PromptBuffers {
  /** Tokens and rows of the chunk whose queries are gathered (StepBuffer). */
  readonly step: GPUBuffer;
  readonly qkv: GPUBuffer; // (chunk, (H + 2G) D) f32, before RoPE
  readonly rotated: GPUBuffer; // (chunk, H D) f32, queries after RoPE
  readonly keys: BufferView; // (G, capacity, D/2) f16 pairs, after RoPE
  readonly values: BufferView; // (G, capacity, D/2) f16 pairs
  readonly capacity: number;
  readonly promptTokens: number;
  readonly owner: string;
  /** Where each layer's condensed moments go, momentsLayout(config).layerBytes apart; for decoding. */
  readonly momentsTarget?: GPUBuffer;
  /** f32 in tests only. */
  readonly keyStorage?: KeyStorage;
}

/**
 * Scores one prompt: per layer begin(), gather() after every chunk's rope, finish(). Holds 4 (H + 6G) bytes a token and per-model scratch.
 * Await gpu.kernels.ready() between making one and its first use.
 */
export class PromptScorer {
  readonly importance: GPUBuffer; // (G, promptTokens) f32; sinks' entries mean nothing
  readonly queryEnergy: GPUBuffer; // (G) f32: mean |q|^2 over the group's queries past the sinks
  readonly moments: GPUBuffer; // (G, 7 D/2 + 4) f32 of the layer last finished; see shaders/lib/moments-record.wgsl
  readonly #created: GPUBuffer[] = [];
  readonly #pivot: GPUBuffer; // (H, D) f32
  readonly #sums: GPUBuffer; // (H, D + 1, D) f32
  readonly #window: GPUBuffer; // (32, H, D) f32
  readonly #gather: Op;
  readonly #finish: readonly Op[];
  #layer = 0;
  #pivoted = false;

  constructor(
    private readonly gpu: Gpu,
    private readonly dims: ScoringDims,
    private readonly options: ScoreOptions,
    private readonly buffers: PromptBuffers,
  ) {
    const { heads, kvHeads, headSize } = dims;
    const { promptTokens, owner } = buffers;
    this.importance = this.#create("importance", kvHeads * promptTokens, "staging");
    this.queryEnergy = this.#create("queryEnergy", kvHeads);
    this.moments = this.#create("moments", kvHeads * momentsLayout(dims).floats);
    this.#pivot = this.#create("pivot", heads * headSize);
    this.#sums = this.#create("sums", heads * (headSize + 1) * headSize);
    this.#window = this.#create("window", WINDOW * heads * headSize);
    const params = createScoreParams(gpu, owner, { tokens: promptTokens, sinks: options.sinks, capacity: buffers.capacity, epsilon: options.epsilon });
    this.#created.push(params);
    this.#gather = queryMoments(gpu, dims, { step: buffers.step, params, qkv: buffers.qkv, pivot: this.#pivot, sums: this.#sums });
    this.#finish = this.#scoringOps(params);
  }

  /** Start of a layer: forgets the last one's sums. */
  begin(recorder: Recorder, layer = 0): void {
    this.#layer = layer;
    this.#pivoted = false;
    recorder.clear(this.#sums);
    recorder.clear(this.#pivot);
  }

  /** Takes in the queries of prompt rows first..first + tokens - 1, which stand in qkv and rotated from row 0 on; `step` must say the same. */
  gather(recorder: Recorder, tokens: number, first: number): void {
    const { heads, kvHeads, headSize } = this.dims;
    const { qkv, rotated, promptTokens } = this.buffers;
    const row = heads * headSize * 4;
    const end = first + tokens;
    if (end > this.options.sinks) {
      if (!this.#pivoted) recorder.copy(qkv, Math.max(0, this.options.sinks - first) * (heads + 2 * kvHeads) * headSize * 4, this.#pivot, 0, row);
      this.#pivoted = true;
      this.#gather.record(recorder);
    }
    const windowStart = Math.max(0, promptTokens - WINDOW);
    const from = Math.max(first, windowStart);
    if (this.options.kind === "ensemble" && end > from)
      recorder.copy(rotated, (from - first) * row, this.#window, (from - windowStart) * row, (end - from) * row);
  }

  /** End of a layer: writes importance, queryEnergy and moments from what was gathered and the keys and values. */
  finish(recorder: Recorder): void {
    for (const op of this.#finish) op.record(recorder);
    const { momentsTarget } = this.buffers;
    if (momentsTarget) recorder.copy(this.moments, 0, momentsTarget, this.#layer * momentsLayout(this.dims).layerBytes, this.moments.size);
  }

  dispose(): void {
    for (const buffer of this.#created.splice(0)) this.gpu.destroyBuffer(buffer);
  }

  #scoringOps(params: GPUBuffer): Op[] {
    const { gpu, dims } = this;
    const { heads, kvHeads, headSize, rope } = dims;
    const { keys, values, promptTokens: tokens, keyStorage: storage = "f16" } = this.buffers;
    const { futurePositions, valueNorm } = this.options;
    const ensemble = this.options.kind === "ensemble";
    const [pivot, sums, moments, queries] = [this.#pivot, this.#sums, this.moments, this.#window];
    const rotation = this.#create("rotation", headSize);
    gpu.write(rotation, 0, Float32Array.from(futureRotation(rope, headSize, tokens, futurePositions)));
    const mean = this.#create("mean", heads * headSize);
    const triangle = this.#create("triangle", heads * headSize * headSize);
    const norms = this.#create("norms", 2 * kvHeads * tokens, "staging");
    const terms = this.#create("terms", 2 * kvHeads * tokens, "staging");
    const logits = this.#create("logits", heads * tokens, "staging");
    const received = this.#create("received", ensemble ? kvHeads * tokens : 1, "staging");
    const normalizers = this.#create("normalizers", WINDOW * heads);
    const window = [
      windowNormalizers(gpu, dims, { params, queries, keys, normalizers, tokens, storage }),
      windowAttention(gpu, dims, { params, queries, keys, normalizers, received, tokens, storage }),
    ];
    return [
      rotateMoments(gpu, dims, { params, pivot, sums, rotation, mean, triangle }),
      groupMoments(gpu, dims, { params, pivot, sums, moments, queryEnergy: this.queryEnergy }),
      slotNorms(gpu, dims, { params, keys, values, norms, tokens, storage }),
      meanKey(gpu, dims, { params, keys, norms, moments, storage }),
      expectedAttention(gpu, dims, { params, keys, mean, triangle, logits, tokens, storage }),
      keyDiversity(gpu, dims, { params, keys, moments, rotation, terms, tokens, storage }),
      ...(ensemble ? window : []),
      importance(gpu, dims, { params, logits, norms, terms, received, moments, importance: this.importance, ensemble, valueNorm }),
    ];
  }

  #create(part: string, floats: number, role: BufferRole = "scratch"): GPUBuffer {
    const { owner } = this.buffers;
    const buffer = this.gpu.createBuffer(`${owner}.${part}`, floats * 4, role, { owner });
    this.#created.push(buffer);
    return buffer;
  }
}

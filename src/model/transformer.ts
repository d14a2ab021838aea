// transformer: the forward pass of llama and qwen2, written out: which kernel reads what, for a prompt's chunks and for one token.
// Leaves to others: the order of layers and chunks (prefill), the cache's attention and the loop (decoder), the maths (kernels).

import type { DecodeBuffers } from "../cache/kv-cache";
import type { PromptBuffers } from "../cache/prompt-scorer";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { StepBuffer } from "../gpu/step";
import { bindEmbed } from "../kernels/embed";
import { bindMatmul } from "../kernels/matmul";
import { bindMatvec } from "../kernels/matvec";
import { bindPrefillAttention } from "../kernels/prefill-attention";
import { bindRmsNorm } from "../kernels/rms-norm";
import { bindRope } from "../kernels/rope";
import type { ModelConfig } from "./model-config";
import { ropeTable } from "./rope-table";
import type { LayerWeights, ModelWeights } from "./weights";

/** Prompt tokens per submit: short enough to abort within a moment, long enough to fill a GPU. */
const CHUNK = { software: 64, hardware: 256 } as const;

/** Anything recorded for a number of tokens. */
interface TokenOp {
  record(recorder: Recorder, tokens: number): void;
}

/** One layer over rows of hidden states. `keys` ends with queries, keys and values in place; `rest` is everything after attention. */
interface LayerOps {
  readonly keys: readonly TokenOp[];
  readonly rest: readonly TokenOp[];
}

/** The ops of one prompt, over buffers of its length. */
export interface PromptOps {
  readonly hidden: GPUBuffer; // (capacity, hidden) f32
  readonly staging: { readonly rows: GPUBuffer; readonly capacity: number; readonly planeWords: number };
  readonly scoreBuffers: Pick<PromptBuffers, "step" | "qkv" | "rotated" | "keys" | "values" | "capacity">;
  /** Embedding (layer 0), norm, projections, RoPE: keys and values of the chunk stand in the staging buffer afterwards. */
  recordKeys(recorder: Recorder, layer: number, tokens: number): void;
  /** Attention over the staging buffer, output projection, feed-forward; `afterAttention` may read `hidden` in between. */
  recordRest(recorder: Recorder, layer: number, tokens: number, afterAttention?: () => void): void;
  /** Final norm and head of the row step.firstRow: transformer.logits. */
  recordLogits(recorder: Recorder): void;
  dispose(): void;
}

export class Transformer {
  readonly chunk: number;
  readonly step: StepBuffer;
  readonly logits: GPUBuffer; // (V) f32
  /** The hidden state of a token being decoded: (1, hidden) f32. */
  readonly hidden: GPUBuffer;
  readonly #normed: GPUBuffer; // (chunk, hidden) f32
  readonly #qkv: GPUBuffer; // (chunk, (H + 2G) D) f32
  readonly #rotated: GPUBuffer; // (chunk, H D) f32
  readonly #attended: GPUBuffer; // (chunk, H D) f32
  readonly #gated: GPUBuffer; // (chunk, ffn) f32
  readonly #rope: GPUBuffer; // (context, D/2) vec2f: cos, sin
  readonly #decode: readonly LayerOps[];
  #sequences = 0;
  #prompts = 0;

  constructor(
    readonly gpu: Gpu,
    readonly config: ModelConfig,
    readonly weights: ModelWeights,
    readonly context: number,
  ) {
    const { heads, kvHeads, headSize, hidden, ffn, vocab } = config;
    this.chunk = gpu.software ? CHUNK.software : CHUNK.hardware;
    const make = (part: string, floats: number): GPUBuffer => gpu.createBuffer(`Transformer.${part}`, floats * 4, "scratch");
    this.step = new StepBuffer(gpu, "Transformer");
    this.logits = make("logits", vocab);
    this.hidden = make("hidden", hidden);
    this.#normed = make("normed", this.chunk * hidden);
    this.#qkv = make("qkv", this.chunk * (heads + 2 * kvHeads) * headSize);
    this.#rotated = make("rotated", this.chunk * heads * headSize);
    this.#attended = make("attended", this.chunk * heads * headSize);
    this.#gated = make("gated", this.chunk * ffn);
    this.#rope = make("rope", context * headSize);
    gpu.write(this.#rope, 0, ropeTable(config, context));
    this.#decode = weights.layers.map((layer) => this.#bindLayer(layer, this.hidden, bindMatvec));
    this.bindHead(this.logits); // compiles the head with everything else
  }

  /** A name for the next sequence, under which the byte ledger keeps its buffers. */
  nameSequence(): string {
    return `Sequence${this.#sequences++}`;
  }

  /** What the cache's attention reads and writes while decoding. */
  get decodeBuffers(): DecodeBuffers & { readonly qkv: GPUBuffer } {
    return { step: this.step.buffer, rotated: this.#rotated, output: this.#attended, qkv: this.#qkv };
  }

  /** Embeds the ids at `ids`, rows step.firstRow.. of `hidden`. */
  bindEmbedding(ids: GPUBuffer, hidden: GPUBuffer): TokenOp {
    return bindEmbed(this.gpu, { embedding: this.weights.embedding, step: this.step.buffer, ids, idsFrom: "prompt", hidden });
  }

  /** RoPE of the qkv rows: queries to the rotated buffer, keys and values as f16 pairs into rows step.keyRow.. of the given buffers. */
  bindRotation(keys: BufferView, values: BufferView): TokenOp {
    const { heads, kvHeads, headSize, rope } = this.config;
    return bindRope(this.gpu, {
      heads,
      kvHeads,
      headSize,
      pairing: rope.pairing,
      step: this.step.buffer,
      table: this.#rope,
      qkv: this.#qkv,
      queries: this.#rotated,
      keys,
      values,
    });
  }

  /** Norm and QKV of a token being decoded; its rotation depends on the cache and comes from bindRotation. */
  recordProjections(recorder: Recorder, layer: number): void {
    for (const op of this.#decode[layer]?.keys ?? []) op.record(recorder, 1);
  }

  /** What follows attention for a token being decoded. */
  recordFeedForward(recorder: Recorder, layer: number): void {
    for (const op of this.#decode[layer]?.rest ?? []) op.record(recorder, 1);
  }

  /** Final norm and head of the row step.firstRow of `hidden`, by default the token being decoded. */
  bindHead(logits: GPUBuffer, hidden: GPUBuffer = this.hidden): TokenOp {
    const { gpu, weights, config } = this;
    const step = this.step.buffer;
    const ops = [
      bindRmsNorm(gpu, { step, hidden, gain: weights.finalNorm, output: this.#normed, epsilon: config.normEpsilon }),
      bindMatvec(gpu, { weights: [weights.head], step, input: this.#normed, output: logits }),
    ];
    return {
      record(recorder) {
        for (const op of ops) op.record(recorder, 1);
      },
    };
  }

  /**
   * Everything a prompt of these ids needs. Dispose it when the caches are filled.
   * @param capacity keys and values that stand side by side; fewer than ids where parts of a replay take turns
   * @param masked rows of the staging buffer may be marked as dropped (kernels/prefill-attention.ts)
   */
  bindPrompt(ids: readonly number[], { capacity = ids.length, masked = false } = {}): PromptOps {
    const owner = `Prompt${this.#prompts++}`;
    try {
      return this.#bindPrompt(ids, capacity, owner, masked);
    } catch (error) {
      this.gpu.destroyOwned(owner); // of the buffers made before one failed
      throw error;
    }
  }

  dispose(): void {
    for (const buffer of [this.logits, this.hidden, this.#normed, this.#qkv, this.#rotated, this.#attended, this.#gated, this.#rope])
      this.gpu.destroyBuffer(buffer);
    this.step.dispose();
  }

  #bindPrompt(ids: readonly number[], capacity: number, owner: string, masked: boolean): PromptOps {
    const { gpu, config, chunk } = this;
    const { kvHeads, headSize } = config;
    const planeWords = Math.ceil((kvHeads * capacity * headSize) / 2 / 64) * 64;
    const make = (part: string, bytes: number): GPUBuffer => gpu.createBuffer(`Prompt.${part}`, bytes, "staging", { owner });
    const hidden = make("hidden", ids.length * config.hidden * 4);
    const rows = make("staging", 2 * planeWords * 4);
    const idBuffer = make("ids", ids.length * 4);
    gpu.write(idBuffer, 0, new Uint32Array(ids));
    const plane = kvHeads * capacity * headSize * 2; // bytes
    const keys = { buffer: rows, offset: 0, size: plane };
    const values = { buffer: rows, offset: planeWords * 4, size: plane };
    const step = this.step.buffer;
    const embed = this.bindEmbedding(idBuffer, hidden);
    const rotate = this.bindRotation(keys, values);
    const attend = bindPrefillAttention(gpu, {
      heads: config.heads,
      kvHeads,
      headSize,
      step,
      queries: this.#rotated,
      keys,
      values,
      output: this.#attended,
      masked,
    });
    const layers = this.weights.layers.map((layer) => this.#bindLayer(layer, hidden, chunk === 1 ? bindMatvec : bindMatmul));
    const head = this.bindHead(this.logits, hidden);
    return {
      hidden,
      staging: { rows, capacity, planeWords },
      scoreBuffers: { step, qkv: this.#qkv, rotated: this.#rotated, keys, values, capacity },
      recordKeys(recorder, layer, tokens) {
        if (layer === 0) embed.record(recorder, tokens);
        for (const op of layers[layer]?.keys ?? []) op.record(recorder, tokens);
        rotate.record(recorder, tokens);
      },
      recordRest(recorder, layer, tokens, afterAttention) {
        attend.record(recorder, tokens);
        const [output, ...feedForward] = layers[layer]?.rest ?? [];
        output?.record(recorder, tokens);
        afterAttention?.();
        for (const op of feedForward) op.record(recorder, tokens);
      },
      recordLogits: (recorder) => head.record(recorder, 1),
      dispose: () => gpu.destroyOwned(owner),
    };
  }

  #bindLayer(layer: LayerWeights, hidden: GPUBuffer, bindProduct: typeof bindMatmul): LayerOps {
    const { gpu } = this;
    const step = this.step.buffer;
    const epsilon = this.config.normEpsilon;
    const normed = this.#normed;
    return {
      keys: [
        bindRmsNorm(gpu, { step, hidden, gain: layer.attentionNorm, output: normed, epsilon }),
        bindProduct(gpu, { weights: layer.qkv, step, input: normed, output: this.#qkv, ...(layer.qkvBias ? { bias: layer.qkvBias } : {}) }),
      ],
      rest: [
        bindProduct(gpu, { weights: [layer.attentionOutput], step, input: this.#attended, output: hidden, mode: "add", outputAtStep: true }),
        bindRmsNorm(gpu, { step, hidden, gain: layer.ffnNorm, output: normed, epsilon }),
        bindProduct(gpu, { weights: layer.gateUp, step, input: normed, output: this.#gated, mode: "gate-up" }),
        bindProduct(gpu, { weights: [layer.ffnDown], step, input: this.#gated, output: hidden, mode: "add", outputAtStep: true }),
      ],
    };
  }
}

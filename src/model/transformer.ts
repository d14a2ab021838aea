// transformer: the forward pass of llama and qwen2, written out: which kernel reads what, for a prompt's chunks and for one token.
// Leaves to others: the order of layers and chunks (prefill), the cache's attention and the loop (decoder), the maths (kernels).

import type { Codec } from "../cache/bases";
import type { DecodeBuffers, PromptStaging } from "../cache/kv-cache";
import type { PromptBuffers } from "../cache/prompt-scorer";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op, Recorder } from "../gpu/recorder";
import { StepBuffer } from "../gpu/step";
import { bindEmbed } from "../kernels/embed";
import { bindGatherRows } from "../kernels/gather-rows";
import { bindMatmul } from "../kernels/matmul";
import { bindMatvec, squaresOf } from "../kernels/matvec";
import { outputGram } from "../kernels/output-gram";
import { bindPrefillAttention } from "../kernels/prefill-attention";
import type { NormIn, NormOut } from "../kernels/product";
import { bindRmsNorm } from "../kernels/rms-norm";
import { bindRope } from "../kernels/rope";
import type { ModelConfig } from "./model-config";
import { ropeTable } from "./rope-table";
import type { LayerWeights, ModelWeights, Vector, Weight } from "./weights";

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

/** The RMS norms of a layer as its products do them on the way, which saves two dispatches a layer of a token being decoded. */
interface NormsOnTheWay {
  /** Before QKV; absent in the first layer, whose input no product writes. */
  readonly attention?: NormIn;
  readonly ffn: { readonly out: NormOut; readonly in: NormIn };
  /** Of the next layer, or before the head. */
  readonly next: NormOut;
}

/** The ops of one prompt, over buffers of its length. */
export interface PromptOps {
  readonly hidden: GPUBuffer; // (capacity, hidden) f32
  readonly staging: Pick<PromptStaging, "rows" | "capacity" | "planeWords"> & { readonly positionStart?: number };
  readonly scoreBuffers: Pick<PromptBuffers, "step" | "qkv" | "rotated" | "keys" | "values" | "capacity" | "outputGrams">;
  /** The hidden states of `chosen` rows alone go on from here, at the positions they had: ops of their own, for `gather` to be recorded first. */
  narrow(chosen: readonly number[]): PromptOps & { readonly gather: Op };
  /** Embedding (layer 0), norm, projections, RoPE: keys and values of the chunk stand in the staging buffer afterwards. */
  recordKeys(recorder: Recorder, layer: number, tokens: number): void;
  /** Attention over the staging buffer, output projection, feed-forward; `afterAttention` may read `hidden` in between. */
  recordRest(recorder: Recorder, layer: number, tokens: number, afterAttention?: () => void): void;
  /** Final norm and head of the row step.firstRow: transformer.logits. */
  recordLogits(recorder: Recorder): void;
  dispose(): void;
}

/** Rows of hidden states that go through layers together. */
interface PromptRows {
  readonly count: number;
  readonly capacity: number;
  readonly masked?: boolean;
  readonly ids?: GPUBuffer; // (count) u32; absent where the rows come from elsewhere
  readonly turns?: GPUBuffer; // (count, D/2) vec2f cos, sin by row, where they have gaps between them; positions then stand behind keys and values
}

export class Transformer {
  readonly chunk: number;
  /** What was measured of the model, with its bases on the GPU; its caches use it. */
  codec: Codec | undefined;
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
  readonly #squares: GPUBuffer; // sums of squares of the hidden state, after attention and after each layer
  readonly #decode: readonly LayerOps[];
  #grams: ReturnType<Transformer["outputGrams"]> | undefined;
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
    this.#squares = make("squares", (2 * config.layers * this.#squaresStride()) / 4);
    this.#decode = weights.layers.map((layer, index) => this.#bindLayer(layer, this.hidden, bindMatvec, this.#normsOnTheWay(index)));
    this.bindHead(this.logits); // compiles the head with everything else
  }

  /** W_o^T W_o of every layer, (L, G, D, D) f32: made when first asked for, filled by the first prompt that records it. */
  outputGrams(): { readonly buffer: GPUBuffer; record(recorder: Recorder): void } {
    this.#grams ??= this.#bindGrams();
    return this.#grams;
  }

  /** A name for the next sequence, under which the byte ledger keeps its buffers. */
  nameSequence(): string {
    return `Sequence${this.#sequences++}`;
  }

  /** What the cache's attention reads and writes while decoding. */
  get decodeBuffers(): DecodeBuffers & { readonly qkv: GPUBuffer; readonly turns: GPUBuffer } {
    return { step: this.step.buffer, rotated: this.#rotated, output: this.#attended, qkv: this.#qkv, turns: this.#rope };
  }

  /** Embeds the ids at `ids`, rows step.firstRow.. of `hidden`. */
  bindEmbedding(ids: GPUBuffer, hidden: GPUBuffer): TokenOp {
    return bindEmbed(this.gpu, { embedding: this.weights.embedding, step: this.step.buffer, ids, idsFrom: "prompt", hidden });
  }

  /** RoPE of the qkv rows: queries to the rotated buffer, keys and values as f16 pairs into rows step.keyRow.. of the given buffers. `turns`: cos and sin by step.firstPosition. */
  bindRotation(keys: BufferView, values: BufferView, turns: GPUBuffer = this.#rope): TokenOp {
    const { heads, kvHeads, headSize, rope } = this.config;
    return bindRope(this.gpu, {
      heads,
      kvHeads,
      headSize,
      pairing: rope.pairing,
      step: this.step.buffer,
      table: turns,
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

  /** Final norm and head of the token being decoded, after its last layer. */
  bindHead(logits: GPUBuffer): TokenOp {
    const { gpu, weights, config } = this;
    return bindMatvec(gpu, {
      weights: [weights.head],
      step: this.step.buffer,
      input: this.#normed,
      output: logits,
      normIn: this.#normIn(2 * config.layers - 1, weights.layers.at(-1)?.ffnDown),
    });
  }

  /**
   * Everything a prompt of these ids needs. Dispose it when the caches are filled.
   * @param capacity keys and values that stand side by side; fewer than ids where parts of a replay take turns
   * @param masked rows of the staging buffer may be marked as dropped (kernels/prefill-attention.ts)
   */
  bindPrompt(ids: readonly number[], { capacity = ids.length, masked = false } = {}): PromptOps {
    return this.#bindOwned((owner) => {
      const idBuffer = this.gpu.createBuffer("Prompt.ids", ids.length * 4, "staging", { owner });
      this.gpu.write(idBuffer, 0, new Uint32Array(ids));
      return this.#bindPrompt(owner, { count: ids.length, capacity, masked, ids: idBuffer });
    });
  }

  /** Everything that some rows of a prompt need to go on alone; their order is their order in time, their positions turn their queries and keys. */
  #bindNarrow(prompt: Pick<PromptOps, "hidden">, chosen: readonly number[]): PromptOps & { readonly gather: Op } {
    const { gpu, config } = this;
    const count = chosen.length;
    return this.#bindOwned((owner) => {
      const turns = gpu.createBuffer("Prompt.turns", count * config.headSize * 4, "staging", { owner });
      const narrow = this.#bindPrompt(owner, { count, capacity: count, turns });
      const { rows, positionStart = 0 } = narrow.staging;
      gpu.write(rows, positionStart * 4, new Uint32Array(chosen));
      const shared = { count, chosen: { buffer: rows, offset: positionStart * 4, size: count * 4 } };
      const ops = [
        bindGatherRows(gpu, { ...shared, columns: config.hidden, source: prompt.hidden, gathered: narrow.hidden }),
        bindGatherRows(gpu, { ...shared, columns: config.headSize, source: this.#rope, gathered: turns }),
      ];
      return { ...narrow, gather: { record: (recorder) => ops.map((op) => op.record(recorder)) } };
    });
  }

  #bindOwned<Ops>(bind: (owner: string) => Ops): Ops {
    const owner = `Prompt${this.#prompts++}`;
    try {
      return bind(owner);
    } catch (error) {
      this.gpu.destroyOwned(owner); // of the buffers made before one failed
      throw error;
    }
  }

  dispose(): void {
    for (const buffer of [this.logits, this.hidden, this.#normed, this.#qkv, this.#rotated, this.#attended, this.#gated, this.#rope, this.#squares])
      this.gpu.destroyBuffer(buffer);
    this.step.dispose();
  }

  #bindPrompt(owner: string, { count, capacity, masked = false, ids, turns }: PromptRows): PromptOps {
    const { gpu, config, chunk } = this;
    const { kvHeads, headSize } = config;
    const planeWords = Math.ceil((kvHeads * capacity * headSize) / 2 / 64) * 64;
    const make = (part: string, bytes: number): GPUBuffer => gpu.createBuffer(`Prompt.${part}`, bytes, "staging", { owner });
    const hidden = make("hidden", count * config.hidden * 4);
    const rows = make("staging", (2 * planeWords + (turns ? count : 0)) * 4);
    const plane = kvHeads * capacity * headSize * 2; // bytes
    const keys = { buffer: rows, offset: 0, size: plane };
    const values = { buffer: rows, offset: planeWords * 4, size: plane };
    const step = this.step.buffer;
    const embed = ids && this.bindEmbedding(ids, hidden);
    const rotate = this.bindRotation(keys, values, turns);
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
    const { finalNorm, head } = this.weights;
    const norm = bindRmsNorm(gpu, { step, hidden, gain: finalNorm, output: this.#normed, epsilon: config.normEpsilon });
    const toLogits = bindMatvec(gpu, { weights: [head], step, input: this.#normed, output: this.logits });
    return {
      hidden,
      staging: { rows, capacity, planeWords, ...(turns && { positionStart: 2 * planeWords }) },
      narrow: (chosen) => this.#bindNarrow({ hidden }, chosen),
      scoreBuffers: { step, qkv: this.#qkv, rotated: this.#rotated, keys, values, capacity, outputGrams: () => this.outputGrams() },
      recordKeys(recorder, layer, tokens) {
        if (layer === 0) embed?.record(recorder, tokens);
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
      recordLogits(recorder) {
        norm.record(recorder, 1);
        toLogits.record(recorder, 1);
      },
      dispose: () => gpu.destroyOwned(owner),
    };
  }

  #bindGrams(): { readonly buffer: GPUBuffer; record(recorder: Recorder): void } {
    const { gpu, config, weights } = this;
    const { kvHeads, headSize } = config;
    const stride = kvHeads * headSize * headSize * 4; // a multiple of 256, as bindings want, with head sizes in steps of 32
    const buffer = gpu.createBuffer("Transformer.outputGrams", weights.layers.length * stride, "scratch");
    const ops = weights.layers.map(({ attentionOutput: output }, layer) =>
      outputGram(gpu, config, { output, gram: { buffer, offset: layer * stride, size: stride }, owner: "Transformer" }),
    );
    return {
      buffer,
      record: (recorder) => {
        for (const op of ops.splice(0)) op.record(recorder);
      },
    };
  }

  #bindLayer(layer: LayerWeights, hidden: GPUBuffer, bindProduct: typeof bindMatmul, norms?: NormsOnTheWay): LayerOps {
    const { gpu } = this;
    const step = this.step.buffer;
    const epsilon = this.config.normEpsilon;
    const normed = this.#normed;
    const norm = (gain: Vector): TokenOp => bindRmsNorm(gpu, { step, hidden, gain, output: normed, epsilon });
    const bias = layer.qkvBias && { bias: layer.qkvBias };
    const toHidden = { step, output: hidden, mode: "add", outputAtStep: true } as const;
    return {
      keys: [
        ...(norms?.attention ? [] : [norm(layer.attentionNorm)]),
        bindProduct(gpu, { weights: layer.qkv, step, input: normed, output: this.#qkv, ...bias, ...(norms?.attention && { normIn: norms.attention }) }),
      ],
      rest: [
        bindProduct(gpu, { ...toHidden, weights: [layer.attentionOutput], input: this.#attended, ...(norms && { normOut: norms.ffn.out }) }),
        ...(norms ? [] : [norm(layer.ffnNorm)]),
        bindProduct(gpu, { weights: layer.gateUp, step, input: normed, output: this.#gated, mode: "gate-up", ...(norms && { normIn: norms.ffn.in }) }),
        bindProduct(gpu, { ...toHidden, weights: [layer.ffnDown], input: this.#gated, ...(norms && { normOut: norms.next }) }),
      ],
    };
  }

  /** Sums of squares number 2i stand after attention of layer i, number 2i + 1 after the layer. */
  #normsOnTheWay(index: number): NormsOnTheWay {
    const { layers, finalNorm } = this.weights;
    const [before, layer, after] = [layers[index - 1], layers[index] as LayerWeights, layers[index + 1]];
    const { attentionOutput, ffnNorm, ffnDown } = layer;
    return {
      ...(before && { attention: this.#normIn(2 * index - 1, before.ffnDown) }),
      ffn: { in: this.#normIn(2 * index, attentionOutput), out: this.#normOut(2 * index, attentionOutput, ffnNorm) },
      next: this.#normOut(2 * index + 1, ffnDown, after?.attentionNorm ?? finalNorm),
    };
  }

  #normIn(number: number, writer: Weight | undefined): NormIn {
    return { squares: this.#squaresView(number, writer), epsilon: this.config.normEpsilon };
  }

  #normOut(number: number, writer: Weight, gain: Vector): NormOut {
    return { gain: gain.buffer, scaled: this.#normed, squares: this.#squaresView(number, writer) };
  }

  #squaresView(number: number, writer: Weight | undefined): BufferView {
    return { buffer: this.#squares, offset: number * this.#squaresStride(), size: 4 * (writer ? squaresOf([writer]) : 0) };
  }

  /** Bytes from one norm's sums of squares to the next's: a binding's alignment. */
  #squaresStride(): number {
    const most = Math.max(...this.weights.layers.flatMap(({ attentionOutput, ffnDown }) => [squaresOf([attentionOutput]), squaresOf([ffnDown])]));
    return Math.ceil((4 * most) / 256) * 256;
  }
}

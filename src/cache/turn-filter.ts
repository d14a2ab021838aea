// turn-filter: RocketKV-MT's turns (methods 2.8): what the last tokens of a turn's prompt look at decides which chunks its answer may read. Tokens of a prompt
// that come in one by one read everything, and the last of them are counted. Leaves to others: the choice among what is left (selective-reader), and
// scores of a prompt that comes in by layers (prompt-scorer).

import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op, Recorder } from "../gpu/recorder";
import { pageReceived } from "../kernels/page-received";
import { TURN_BYTES, turnWords } from "../kernels/turn-filter";
import type { TurnRule } from "../policy/reading";
import type { CacheBuffers } from "./cache-buffers";
import { unitsBeforePages } from "./extra-rows";
import { type AttentionOps, bindLayerAttention, type DecodeBuffers } from "./layer-attention";
import { turnCapacity } from "./read-plan";
import type { RowScores } from "./row-scores";
import type { SelectiveReader } from "./selective-reader";

/** A turn's tokens that come in one by one: positions [first, end); `newTokens` are to follow at most. */
export interface TurnSpan {
  readonly first: number;
  readonly end: number;
  readonly newTokens: number;
}

type Filter = ReturnType<SelectiveReader["bindFilter"]>;

export class TurnFilter {
  readonly #received: GPUBuffer; // (layers that select, G, tokens) f32: what the window's tokens paid
  readonly #turn: GPUBuffer;
  readonly #promptTurn: GPUBuffer;
  readonly #filter: Filter;
  #layers: readonly { readonly whole: AttentionOps; readonly count: Op }[];
  #prompt: Filter | undefined;
  #span: TurnSpan = { first: 0, end: 0, newTokens: 0 };

  constructor(
    private readonly gpu: Gpu,
    private readonly buffers: CacheBuffers,
    private readonly reader: SelectiveReader,
    private readonly rule: TurnRule & { readonly tokens: number },
    private readonly decode: DecodeBuffers,
  ) {
    const { owner, shape } = buffers.plan;
    const uniform = { owner, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST };
    this.#received = gpu.createBuffer("TurnFilter.received", (shape.layers - reader.plan.dense) * reader.plan.receivedWords * 4, "kv", { owner });
    buffers.remember(this.#received);
    this.#turn = gpu.createBuffer("TurnFilter.turn", TURN_BYTES, "scratch", uniform);
    this.#promptTurn = gpu.createBuffer("TurnFilter.promptTurn", TURN_BYTES, "scratch", uniform);
    this.#filter = reader.bindFilter(this.#turn, (layer) => this.#receivedOf(layer));
    this.#layers = this.#bind();
  }

  /** Before the first token of a turn's prompt, or before the prompt itself. The filter of the turn before holds until this one's is made. */
  begin(span: TurnSpan): void {
    this.#span = span;
    const open = Math.max(0, this.#windowStart - this.buffers.plan.ringSlots); // what stood in the ring meanwhile was not counted from the first on
    this.#write(this.#turn, this.buffers.plan.tokens, open, span.end);
  }

  /** A prompt of so many tokens that comes in by layers: its last tokens are the window. */
  beginPrompt(scores: RowScores, tokens: number): void {
    this.#write(this.#promptTurn, scores.stride, Math.max(0, tokens - this.rule.window), tokens);
    this.#prompt = this.reader.bindFilter(this.#promptTurn, (layer) => scores.scores(layer));
  }

  /** After a layer of the prompt has gone into pages. */
  recordPrompt(recorder: Recorder, layer: number): void {
    this.#prompt?.record(recorder, layer);
  }

  /** Attention of a token of a turn's prompt: two dispatches, one more in the window, and another for the last. False for others: nothing is recorded then. */
  record(recorder: Recorder, layer: number, position: number): boolean {
    const { end } = this.#span;
    const { dense } = this.reader.plan;
    const ops = this.#layers[layer - dense];
    if (position >= end || !ops) return false;
    if (position === this.#windowStart && layer === dense) recorder.clear(this.#received);
    ops.whole.attend.record(recorder);
    ops.whole.merge.record(recorder);
    if (position >= this.#windowStart) ops.count.record(recorder);
    if (position === end - 1) this.#filter.record(recorder, layer);
    return true;
  }

  /** After the pool has grown. */
  rebind(): void {
    this.#layers = this.#bind();
  }

  dispose(): void {
    for (const buffer of [this.#received, this.#turn, this.#promptTurn]) this.gpu.destroyBuffer(buffer);
  }

  get #windowStart(): number {
    return Math.max(this.#span.first, this.#span.end - this.rule.window);
  }

  #write(turn: GPUBuffer, stride: number, open: number, history: number): void {
    const { plan } = this.reader;
    const tokens = turnCapacity(this.rule.tokens, history, this.#span.newTokens, history - open);
    this.gpu.write(turn, 0, turnWords({ stride, open, pool: this.rule.pool, keep: Math.ceil(tokens / plan.span) }));
  }

  #receivedOf(layer: number): BufferView {
    const { dense, receivedWords } = this.reader.plan;
    const { shape, tokens } = this.buffers.plan;
    return { buffer: this.#received, offset: (layer - dense) * receivedWords * 4, size: shape.kvHeads * tokens * 4 };
  }

  #bind(): readonly { readonly whole: AttentionOps; readonly count: Op }[] {
    const { gpu, buffers, decode, reader } = this;
    const { plan, info, units, partials, pool } = buffers;
    const { geometry } = plan;
    const pageUnits = plan.units - unitsBeforePages(plan, geometry.unit);
    return Array.from({ length: plan.shape.layers - reader.plan.dense }, (_, index) => {
      const layer = index + reader.plan.dense;
      const shared = { info, units, partials, pool, table: buffers.table(layer), bases: buffers.bases(layer), step: decode.step, rotated: decode.rotated };
      return {
        whole: bindLayerAttention(gpu, buffers, decode, layer),
        count: pageReceived(gpu, geometry, { ...shared, received: this.#receivedOf(layer), pageUnits }),
      };
    });
  }
}

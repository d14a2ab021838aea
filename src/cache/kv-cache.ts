// kv-cache: the paged cache of one sequence, full or compressed alike. The prompt comes in layer by layer, then tokens one by one
// through the ring; attention reads it in place. Leaves to others: sizes (cache-buffers), the compression chain (compressor),
// what is important (policy and scorers), what the forward pass does.

import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { Recorder } from "../gpu/recorder";
import type { Step } from "../gpu/step";
import { bindRingFill } from "../kernels/ring-fill";
import type { ModelConfig } from "../model/model-config";
import type { Policy } from "../policy/policy";
import { CacheBuffers } from "./cache-buffers";
import { type CachePlan, pagesForAll } from "./cache-plan";
import { Compressor, type SlotSource } from "./compressor";
import { type AttentionOps, bindLayerAttention, type DecodeBuffers } from "./layer-attention";
import { LayerPages } from "./layer-pages";
import { RingSchedule, type RingState, type RingTurn } from "./ring-schedule";
import type { PromptStaging, RowScores } from "./row-scores";
import { SelectiveReader } from "./selective-reader";
import { Tracker } from "./tracker";
import { TurnFilter, type TurnSpan } from "./turn-filter";
import type { CacheWatcher } from "./watcher";

export type { DecodeBuffers, PromptStaging, RowScores };

/** A layer takes in the queries of one token in so many, layers in turn: neighbours hardly differ, and each costs a dispatch. */
const OBSERVED = 4;

/** What the host remembers of a cache from one step to the next. */
export interface CacheState {
  readonly tokens: number;
  /** Position of the first token that was decoded. */
  readonly begun: number;
  readonly ring: RingState;
  /** Segments of the pool. */
  readonly segments: number;
  readonly watcher?: unknown; // of whoever follows the cache
}

export class KvCache {
  readonly buffers: CacheBuffers;
  watcher: CacheWatcher | undefined; // set before the prompt, or never
  #attention: readonly AttentionOps[];
  readonly #ringScores: RowScores | undefined;
  readonly #schedule: RingSchedule;
  #ring: Compressor | undefined;
  #prompt: Compressor | undefined;
  #layerPages: LayerPages | undefined;
  /** Which of what is held a token reads, where that is not all. */
  readonly reader: SelectiveReader | undefined;
  readonly #turns: TurnFilter | undefined; // where what a turn reads is filtered
  #ringFill: { readonly ops: readonly ReturnType<typeof bindRingFill>[]; readonly params: GPUBuffer } | undefined;
  #promptIntake = { count: 0, firstPosition: 0, firstRow: 0, meanRows: 0, now: 0, judged: true };
  #promptRows = 0;
  readonly #tracker: Tracker | undefined;
  #reevaluates = false;
  #tokens = 0;
  #begun = 0;

  constructor(
    private readonly gpu: Gpu,
    config: ModelConfig,
    readonly policy: Policy,
    readonly plan: CachePlan,
    private readonly decode: DecodeBuffers,
    scoreRing?: (buffers: CacheBuffers, reader?: SelectiveReader) => RowScores,
  ) {
    this.buffers = new CacheBuffers(gpu, plan, config, policy);
    this.reader = plan.reading && new SelectiveReader(gpu, this.buffers, plan.reading, decode.rotated, config.heads);
    const { turn } = plan.reading ?? {};
    this.#turns = this.reader && turn && new TurnFilter(gpu, this.buffers, this.reader, turn, decode);
    this.#ringScores = scoreRing?.(this.buffers, this.reader);
    const unjudged = plan.headroom.map(({ tokens }) => tokens);
    this.#schedule = new RingSchedule(plan.shape.layers, policy.sinks, policy.ring, unjudged);
    this.#attention = this.#bindLayers();
    if (policy.reevaluate) this.#tracker = new Tracker(gpu, this.buffers, policy.reevaluate, policy.ring, decode);
  }

  /** Tokens seen so far. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Live bytes of this cache's buffers that a budget pays for. */
  get bytes(): number {
    return this.gpu.ledger.bytes({ role: "kv", owner: this.plan.owner });
  }

  /** Position of the oldest token in a layer's ring: newer than all in pages. */
  ringStart(layer: number): number {
    return this.#schedule.oldest(layer);
  }

  /** Says which tokens of a turn's prompt are to come in one by one, if any, and how many may follow: before the first, and before a prompt that goes in by layers. */
  beginTurn(span: TurnSpan): void {
    this.#turns?.begin(span);
  }

  /** Binds the compression of a prompt: before the first chunk of the first layer, and again where later layers see fewer of its tokens. */
  beginPrompt(staging: PromptStaging, scores?: RowScores): void {
    const { policy, plan, buffers } = this;
    const { chosen } = staging;
    const tokens = chosen?.of ?? staging.tokens;
    this.#freePrompt();
    this.#growTo(tokens);
    this.watcher?.beginPrompt(staging, scores);
    const sinks = Math.min(policy.sinks, staging.tokens);
    const newest = Math.min(Math.floor(policy.ring / 2), staging.tokens - sinks);
    const count = staging.tokens - sinks - newest;
    const source: SlotSource = {
      rows: () => staging.rows,
      capacity: staging.capacity,
      planeWords: staging.planeWords,
      wrap: 0,
      baseRow: 0,
      ...(chosen && { positionStart: chosen.positionStart }),
      ...(scores && !this.#turns ? { importance: scores } : {}),
    };
    if (scores) this.#turns?.beginPrompt(scores, staging.tokens);
    this.#promptIntake = { count, firstPosition: tokens - newest - count, firstRow: sinks, meanRows: count + newest, now: tokens, judged: true };
    this.#promptRows = sinks + newest;
    this.#prompt = new Compressor(this.gpu, buffers, source, Math.max(1, count), policy.mode === "static" ? "stay" : "none", "staging", undefined, this.reader);
    this.#prompt.write(this.#promptIntake);
    const { importance } = source;
    if (policy.budget.weighsLayers && importance && count > 0)
      this.#layerPages = new LayerPages(this.gpu, buffers, { ...source, importance }, this.#prompt.step, this.#promptIntake, this.reader);
    const params = this.gpu.createBuffer("KvCache.ringFill", 48, "staging", { owner: plan.owner, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    this.gpu.write(
      params,
      0,
      new Uint32Array([sinks, newest, tokens, policy.ring, staging.capacity, staging.planeWords, plan.ringSlots, plan.ringPlane, staging.tokens]),
    );
    const ops = Array.from({ length: plan.shape.layers }, (_, layer) =>
      bindRingFill(this.gpu, plan.geometry, { params, source: staging.rows, rows: buffers.ringRows(layer), ringBits: plan.ringBits }),
    );
    this.#ringFill = { ops, params };
  }

  /** After the last chunk of a layer: its sinks and newest tokens go to the ring, the rest into pages. */
  recordPrompt(recorder: Recorder, layer: number): void {
    const prompt = this.#prompt;
    if (!prompt) throw new EngineError("INTERNAL", "A prompt was recorded before beginPrompt().");
    this.watcher?.recordPrompt(recorder, layer);
    this.#ringFill?.ops[layer]?.record(recorder, this.#promptRows);
    if (this.#promptIntake.count === 0) return;
    prompt.recordMeans(recorder, layer);
    this.#layerPages?.record(recorder, layer);
    prompt.record(recorder, layer, this.#promptIntake.count);
    this.#turns?.recordPrompt(recorder, layer);
  }

  /** After the last layer: gives the staging's companions back. */
  endPrompt(tokens: number): void {
    this.#tokens = tokens;
    const { firstPosition, firstRow, count } = this.#promptIntake;
    this.#schedule.begin(firstPosition + count - firstRow);
    this.#begin(tokens);
    this.watcher?.endPrompt(tokens);
    this.#freePrompt();
  }

  /** Binds the compression of the ring: once, before the first advance(). After the prompt's staging is freed, whose room its scratch then takes. */
  beginDecoding(): void {
    const existing = this.policy.mode === "static" ? "stay" : "judged";
    this.#ring ??= new Compressor(this.gpu, this.buffers, this.#ringSource(), this.#mostCandidates(), existing, "scratch", this.#tracker, this.reader);
  }

  /**
   * Takes the next token in: where its key goes, and which layers' rings must be compressed first. Call once per token, before recording it.
   * Throws CONTEXT_FULL past the tokens the cache was made for.
   */
  advance(): Pick<Step, "tokens" | "firstPosition" | "keyRow"> & { readonly turn?: RingTurn } {
    const { policy, plan } = this;
    const position = this.#tokens;
    if (position >= plan.tokens)
      throw new EngineError("CONTEXT_FULL", `The cache was made for ${plan.tokens} tokens and all are taken. Ask for more tokens when it is made.`, {
        tokens: plan.tokens,
      });
    const turn = this.#schedule.take(position);
    if (turn) {
      const { count, firstPosition, held, judged } = turn;
      this.#growTo(position);
      this.#ringScores?.prepare?.(position, held);
      this.#reevaluates = this.#tracker?.prepare(position, this.#schedule.turns) ?? false;
      this.#requireRing().write({ count, firstPosition, firstRow: firstPosition % policy.ring, meanRows: held, now: position, judged });
    }
    this.#tokens++;
    const keyRow = position < policy.sinks ? position : policy.sinks + (position % policy.ring);
    return { tokens: 1, firstPosition: position, keyRow, ...(turn && { turn }) };
  }

  /** Compresses the rings whose turn it is, but for their newer half. Before the token that advance() announced it for. */
  recordCompression(recorder: Recorder, { layers, needsMeans }: RingTurn): void {
    const most = this.#mostCandidates();
    const ring = this.#requireRing();
    for (const layer of layers) {
      ring.recordLift(recorder, layer);
      if (needsMeans) ring.recordMeans(recorder, layer);
      this.#ringScores?.record?.(recorder, layer);
      ring.record(recorder, layer, most, this.#reevaluates);
    }
  }

  /** Attention of the token whose rotated query stands in the decode buffers: two dispatches; two more where it chooses what to read, one or two in the window of a turn that is filtered, one where its queries are observed, what the ring receives is counted, or what slots in pages do. */
  recordAttention(recorder: Recorder, layer: number): void {
    const ops = this.#attention[layer];
    if ((this.#tokens + layer) % OBSERVED === 0) this.#ringScores?.observe?.(recorder, layer);
    if (!this.#turns?.record(recorder, layer, this.#tokens - 1)) {
      this.reader?.recordSelection(recorder, layer);
      ops?.attend.record(recorder);
      ops?.merge.record(recorder);
    }
    this.#ringScores?.attended?.(recorder, layer, this.#tokens - 1);
    this.#tracker?.record(recorder, layer, this.#tokens - 1);
    this.watcher?.attended(recorder, layer);
  }

  /** Tokens that may run ahead of what is sure to stay, so that rewind() can take them back. */
  get mostUnsure(): number {
    return this.#schedule.mostUnsure;
  }

  /**
   * Takes the newest tokens back, so that `tokens` are left; the next ones overwrite their rows of the ring. What left the ring meanwhile stays in
   * pages, and what statistics took in of their queries stays in them.
   */
  rewind(tokens: number): void {
    const least = this.#schedule.leastTokens;
    if (tokens > this.#tokens || tokens < least)
      throw new EngineError(
        "INTERNAL",
        `The cache's ${this.#tokens} tokens were to be cut to ${tokens}; those before ${least} have left the ring. Report this.`,
      );
    this.#tokens = tokens;
    this.watcher?.rewind(tokens);
  }

  get state(): CacheState {
    return { tokens: this.#tokens, begun: this.#begun, ring: this.#schedule.state, segments: this.buffers.segments, watcher: this.watcher?.state };
  }

  /** Before the buffers of a cache of the same plan are copied into these: goes on where that one stood. */
  resume({ tokens, begun, ring, segments, watcher }: CacheState): void {
    this.#freePrompt();
    this.watcher?.resume(watcher, tokens);
    if (this.buffers.growAs(segments)) this.#bindPool();
    this.#schedule.restore(ring);
    this.#tokens = tokens;
    this.#begin(begun, false);
    if (tokens > 0) this.beginDecoding();
  }

  /** Empty, as if new. */
  reset(): void {
    this.#freePrompt();
    this.#ring?.dispose();
    this.#ring = undefined;
    this.watcher?.resume(undefined, 0);
    this.buffers.reset();
    this.#schedule.reset();
    this.#tokens = 0;
  }

  dispose(): void {
    this.#freePrompt();
    this.#ring?.dispose();
    this.#tracker?.dispose();
    this.#turns?.dispose();
    this.reader?.dispose();
    this.buffers.dispose();
  }

  #begin(position: number, fresh = true): void {
    this.#begun = position;
    this.#ringScores?.begin?.(position);
    this.#tracker?.begin(position, fresh);
  }

  /** Room in the pool for this many tokens: all there is from the start, but where it takes several segments. */
  #growTo(tokens: number): void {
    const { policy, plan } = this;
    if (this.buffers.grow(plan.shape.layers * pagesForAll(policy, plan.layout, plan.shape, tokens))) this.#bindPool();
  }

  #bindPool(): void {
    this.#attention = this.#bindLayers();
    this.#tracker?.rebind();
    this.#turns?.rebind();
    if (!this.#ring) return;
    this.#ring.dispose();
    this.#ring = undefined;
    this.beginDecoding();
  }

  #freePrompt(): void {
    this.#prompt?.dispose();
    this.gpu.destroyBuffer(this.#ringFill?.params);
    this.#layerPages?.dispose();
    this.#prompt = undefined;
    this.#layerPages = undefined;
    this.#ringFill = undefined;
  }

  #requireRing(): Compressor {
    if (!this.#ring) throw new EngineError("INTERNAL", "A token was decoded before beginDecoding().");
    return this.#ring;
  }

  /** Slots per kv head that a compression of the ring can meet: those in pages and the older half of the ring. */
  #mostCandidates(): number {
    const { plan, policy } = this;
    if (policy.mode === "static") return this.#schedule.turns;
    return this.#schedule.turns + Math.min(plan.tokens, plan.maxPages * Math.max(...plan.layout.slotsPerPage));
  }

  #ringSource(): SlotSource {
    const scores = this.#ringScores;
    const { buffers, plan, policy } = this;
    return {
      rows: (layer) => buffers.openRows(layer),
      capacity: plan.ringSlots,
      planeWords: plan.openPlane,
      wrap: policy.ring,
      baseRow: policy.sinks,
      ...(scores ? { importance: scores } : {}),
    };
  }

  #bindLayers(): readonly AttentionOps[] {
    return Array.from({ length: this.plan.shape.layers }, (_, layer) => bindLayerAttention(this.gpu, this.buffers, this.decode, layer, this.reader));
  }
}

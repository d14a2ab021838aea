// prompt-scorer: runs a method's statistics and scores over a prompt, layer after layer, from the queries and keys of the prefill, all on the GPU.
// Makes each statistic once, whichever parts of a method ask for it. Leaves to others: what a score is (src/policy/scorers), what to do
// with importance (compression), scores of tokens that come later (ring-scorer.ts).

import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { BufferRole } from "../gpu/ledger";
import type { Op, Recorder } from "../gpu/recorder";
import { expectedAttention } from "../kernels/expected-attention";
import { groupMoments } from "../kernels/group-moments";
import { keyDiversity } from "../kernels/key-diversity";
import { layerPreference } from "../kernels/layer-preference";
import { meanKey } from "../kernels/mean-key";
import { normaliseScores } from "../kernels/normalise-scores";
import { projectedNorms } from "../kernels/projected-norms";
import { queryMoments } from "../kernels/query-moments";
import { queryNormalizers } from "../kernels/query-normalizers";
import { type ReceivedAttentionArgs, receivedAttention } from "../kernels/received-attention";
import { rotateMoments } from "../kernels/rotate-moments";
import { createQueryRange, createScoreParams, type KeyStorage, keptLayout, momentFloats, type QueryRange, type ScoringDims } from "../kernels/scoring";
import { slotNorms } from "../kernels/slot-norms";
import { windowSpread } from "../kernels/window-spread";
import type { BudgetRule } from "../policy/budgets";
import type { Calibration } from "../policy/calibration";
import type { ChunkOp, PromptView, ReceivedSpec, ScoreOptions, Scorer } from "../policy/scorers/scorer";
import { futureRotation } from "./future-rotation";
import { keepMoments, storedSums } from "./statistics";

export interface PromptBuffers {
  /** Tokens and rows of the chunk whose queries are gathered (StepBuffer). */
  readonly step: GPUBuffer;
  readonly qkv: GPUBuffer; // (chunk, (H + 2G) D) f32, before RoPE
  readonly rotated: GPUBuffer; // (chunk, H D) f32, queries after RoPE
  readonly keys: BufferView; // (G, capacity, D/2) f16 pairs, after RoPE
  readonly values: BufferView; // (G, capacity, D/2) f16 pairs
  readonly capacity: number;
  readonly promptTokens: number;
  readonly nextPosition?: number; // where fewer tokens stand there than the prompt has; default promptTokens
  readonly owner: string;
  /** The statistics where each layer's condensed moments go, for decoding. */
  readonly momentsTarget?: GPUBuffer;
  /** Scores are to sum to 1 over a head's slots; for methods that do not see to it themselves. */
  readonly normalise?: boolean;
  /** The layer's preference is wanted (budget "cake"). */
  readonly preference?: BudgetRule["preference"];
  readonly calibration?: Calibration;
  /** W_o^T W_o of every layer, (L, G, D, D) f32, and what computes it where that was not done before. */
  readonly outputGrams?: () => { readonly buffer: BufferView; record(recorder: Recorder): void };
  /** f32 in tests only. */
  readonly keyStorage?: KeyStorage;
}

/**
 * Scores one prompt: per layer begin(), gather() after every chunk's rope, finish().
 * Await gpu.kernels.ready() between making one and its first use.
 */
export class PromptScorer implements PromptView {
  readonly params: GPUBuffer;
  readonly tokens: number;
  readonly capacity: number;
  readonly keys: BufferView;
  readonly values: BufferView;
  readonly storage: KeyStorage;
  readonly importance: GPUBuffer; // (G, promptTokens) f32; sinks' entries mean nothing
  readonly queryEnergy: GPUBuffer; // (2, G) f32: mean |q|^2 over the group's queries past the sinks; what scores were multiplied by, if they were
  readonly moments: GPUBuffer; // (G, 7 D/2 + 4) f32 of the layer last finished; see shaders/lib/moments-record.wgsl
  readonly layer: GPUBuffer;
  readonly preference: GPUBuffer | undefined; // (1) f32
  readonly calibration: Calibration | undefined;
  readonly #created: GPUBuffer[] = [];
  readonly #statistics = new Map<string, BufferView>();
  readonly #chunks: ChunkOp[] = [];
  readonly #finish: Op[] = [];
  readonly #layerWrites: ((layer: number) => void)[] = [];
  #layer = 0;

  constructor(
    readonly gpu: Gpu,
    readonly dims: ScoringDims,
    scorer: Pick<Scorer, "prompt">,
    private readonly options: ScoreOptions,
    private readonly buffers: PromptBuffers,
  ) {
    const { kvHeads } = dims;
    const { promptTokens, owner, capacity, keys, values, keyStorage = "f16" } = buffers;
    [this.tokens, this.capacity, this.keys, this.values, this.storage] = [promptTokens, capacity, keys, values, keyStorage];
    this.calibration = buffers.calibration;
    this.importance = this.create("importance", kvHeads * promptTokens, "staging");
    this.queryEnergy = this.create("queryEnergy", 2 * kvHeads);
    this.moments = this.create("moments", kvHeads * momentFloats(dims));
    this.params = createScoreParams(gpu, owner, { tokens: promptTokens, sinks: options.sinks, capacity, epsilon: options.epsilon });
    this.layer = gpu.createBuffer(`${owner}.layer`, 16, "staging", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, owner });
    this.#created.push(this.params, this.layer);
    scorer.prompt(this, options);
    this.preference = buffers.preference && this.#layerPreference(buffers.preference);
    const { params, importance, queryEnergy: factors } = this;
    if (buffers.normalise) this.add(normaliseScores(gpu, dims, { range: { params, tokens: promptTokens }, importance, factors, first: kvHeads }));
    this.pooledMoments(); // for decoding, and E|q|^2 for the choice of bits
    if (buffers.momentsTarget) this.#keep(buffers.momentsTarget);
  }

  /** Start of a layer: forgets the last one's sums. Between submits. */
  begin(recorder: Recorder, layer = 0): void {
    this.#layer = layer;
    this.gpu.write(this.layer, 0, new Uint32Array([layer, layer * this.dims.kvHeads]));
    for (const write of this.#layerWrites) write(layer);
    for (const op of this.#chunks) op.begin?.(recorder);
  }

  /**
   * Takes in the queries of prompt rows first..first + tokens - 1, which stand in qkv and rotated from row 0 on; `step` must say the same.
   * @param replay they are those of a replay, whose rows follow the prompt's
   */
  gather(recorder: Recorder, tokens: number, first: number, replay = false): void {
    for (const op of this.#chunks) op.record(recorder, tokens, first, replay);
  }

  /** End of a layer: writes importance, queryEnergy and moments from what was gathered and the keys and values. */
  finish(recorder: Recorder): void {
    for (const op of this.#finish) op.record(recorder);
  }

  dispose(): void {
    for (const buffer of this.#created.splice(0)) this.gpu.destroyBuffer(buffer);
  }

  add(op: Op): void {
    this.#finish.push(op);
  }

  addToChunks(op: ChunkOp): void {
    this.#chunks.push(op);
  }

  create(part: string, floats: number, role: BufferRole = "scratch"): GPUBuffer {
    const { owner } = this.buffers;
    const buffer = this.gpu.createBuffer(`${owner}.${part}`, floats * 4, role, { owner });
    this.#created.push(buffer);
    return buffer;
  }

  pooledMoments(): BufferView {
    return this.#once("moments", () => {
      const { gpu, dims, params, moments, queryEnergy } = this;
      this.add(groupMoments(gpu, dims, { params, pivot: this.#pivot(), sums: this.#sums(), moments, queryEnergy }));
      return moments;
    });
  }

  norms(): BufferView {
    return this.#once("norms", () => {
      const { gpu, dims, params, keys, values, tokens, storage } = this;
      const norms = this.create("norms", 2 * dims.kvHeads * tokens, "staging");
      this.add(slotNorms(gpu, dims, { params, keys, values, norms, tokens, storage }));
      return norms;
    });
  }

  expectedLogits(stored?: Calibration): BufferView {
    return this.#once(stored ? "storedLogits" : "logits", () => {
      const { gpu, dims, params, keys, tokens, storage } = this;
      const { heads, headSize } = dims;
      const queries = stored ? this.#storedQueries(stored) : { pivot: this.#pivot(), sums: this.#sums() };
      const mean = this.create("mean", heads * headSize);
      const triangle = this.create("triangle", heads * headSize * headSize);
      const logits = this.create("logits", heads * tokens, "staging");
      this.add(rotateMoments(gpu, dims, { params, ...queries, rotation: this.#rotation(), mean, triangle }));
      this.add(expectedAttention(gpu, dims, { params, keys, mean, triangle, logits, tokens, storage }));
      return logits;
    });
  }

  keyTerms(): BufferView {
    return this.#once("terms", () => {
      const { gpu, dims, params, keys, tokens, storage } = this;
      const [moments, rotation] = [this.pooledMoments(), this.#rotation()];
      this.meanKeys();
      const terms = this.create("terms", 2 * dims.kvHeads * tokens, "staging");
      this.add(keyDiversity(gpu, dims, { params, keys, moments, rotation, terms, tokens, storage }));
      return terms;
    });
  }

  meanKeys(): BufferView {
    return this.#once("meanKeys", () => {
      const { gpu, dims, params, keys, moments, storage } = this;
      this.add(meanKey(gpu, dims, { params, keys, norms: this.norms(), moments, storage }));
      return moments;
    });
  }

  projectedNorms(): BufferView {
    return this.#once("projectedNorms", () => {
      const { gpu, dims, params, layer, values, tokens, storage } = this;
      const grams = this.buffers.outputGrams?.();
      if (!grams) throw new EngineError("INTERNAL", "This prompt has no output projection to score by. Give PromptBuffers.outputGrams.");
      const norms = this.create("projectedNorms", dims.kvHeads * tokens, "staging");
      this.addToChunks({ begin: (recorder) => grams.record(recorder), record: () => {} });
      this.add(projectedNorms(gpu, dims, { range: { params, tokens }, layer, values, grams: grams.buffer, norms, storage }));
      return norms;
    });
  }

  received(spec: ReceivedSpec): BufferView {
    return this.#once(`received ${JSON.stringify(spec)}`, () => {
      const { gpu, dims } = this;
      const { reduce, decay = 1, followers } = spec;
      const received = this.create("received", dims.kvHeads * this.tokens, "staging");
      const range = { reduce, decay, ...(followers ? { nearest: 1, farthest: followers } : {}) };
      return this.#gatherInto(received, spec, receivedAttention(gpu, dims, { ...this.#attention(spec, range), received }));
    });
  }

  spread(window: number): BufferView {
    return this.#once(`spread ${window}`, () => {
      const { gpu, dims } = this;
      const spec = { queries: window, reduce: "sum" } as const;
      const spread = this.create("spread", 4 * dims.heads * this.tokens, "staging");
      return this.#gatherInto(spread, spec, windowSpread(gpu, dims, { ...this.#attention(spec, {}), spread }));
    });
  }

  #keep(target: GPUBuffer): void {
    const { gpu, dims, moments } = this;
    const packed = this.create("keptMoments", dims.kvHeads * keptLayout(dims).words);
    this.add(keepMoments(gpu, dims, { moments, packed, target, layer: () => this.#layer }));
  }

  #layerPreference({ window, temperatures }: NonNullable<BudgetRule["preference"]>): GPUBuffer {
    const { gpu, dims, params } = this;
    const preference = this.create("preference", 4);
    this.add(layerPreference(gpu, dims, { params, spread: this.spread(window), preference, window, temperatures }));
    return preference;
  }

  /** What a kernel that follows the chunks' attention reads. */
  #attention(spec: ReceivedSpec, range: Pick<QueryRange, "reduce" | "decay" | "nearest" | "farthest">): Omit<ReceivedAttentionArgs, "received"> {
    const { keys, storage } = this;
    const { step, rotated: queries } = this.buffers;
    return { step, range: this.#queryRange({ firstQuery: this.#firstQuery(spec), ...range }), queries, keys, normalizers: this.#normalizers(spec), storage };
  }

  /** Runs it with every chunk that has queries which count, from zeros in every layer. */
  #gatherInto(sums: GPUBuffer, spec: ReceivedSpec, gather: { record(recorder: Recorder, slots: number): void }): GPUBuffer {
    this.addToChunks({
      begin: (recorder) => recorder.clear(sums),
      record: (recorder, count, first, replay) => {
        if (replay === (spec.queries === "replay") && first + count > this.#firstQuery(spec)) gather.record(recorder, Math.min(first + count, this.tokens));
      },
    });
    return sums;
  }

  /** Mean of the queries seen first, from which deviations are summed: (H, D). */
  #pivot(): BufferView {
    this.#sums();
    return this.#once("pivot", () => this.create("pivot", this.dims.heads * this.dims.headSize));
  }

  /** Sums of the queries' products and of the queries, less the pivot: (H, D + 1, D). */
  #sums(): BufferView {
    return this.#once("sums", () => {
      const { gpu, dims, params } = this;
      const { heads, kvHeads, headSize } = dims;
      const { step, qkv, promptTokens } = this.buffers;
      const sums = this.create("sums", heads * (headSize + 1) * headSize);
      const pivot = this.create("pivot", heads * headSize);
      this.#statistics.set("pivot", pivot);
      const gather = queryMoments(gpu, dims, { step, params, qkv, pivot, sums });
      const row = heads * headSize * 4;
      let pivoted = false;
      this.addToChunks({
        begin: (recorder) => {
          pivoted = false;
          recorder.clear(sums);
          recorder.clear(pivot);
        },
        record: (recorder, tokens, first) => {
          if (first + tokens <= this.options.sinks || first >= promptTokens) return;
          if (!pivoted) recorder.copy(qkv, Math.max(0, this.options.sinks - first) * (heads + 2 * kvHeads) * headSize * 4, pivot, 0, row);
          pivoted = true;
          gather.record(recorder);
        },
      });
      return sums;
    });
  }

  /** What the gathered sums would be for queries of the stored means and covariances, layer by layer. */
  #storedQueries({ queryMean, queryCovariance }: Calibration): { readonly pivot: BufferView; readonly sums: BufferView } {
    const { heads, headSize } = this.dims;
    const pivot = this.create("storedMeans", heads * headSize);
    const sums = this.create("storedSums", heads * (headSize + 1) * headSize);
    const count = Math.max(1, this.tokens - this.options.sinks);
    this.#layerWrites.push((layer) => {
      this.gpu.write(pivot, 0, queryMean.slice(layer * heads * headSize, (layer + 1) * heads * headSize));
      this.gpu.write(sums, 0, storedSums(queryCovariance, layer, this.dims, count));
    });
    return { pivot, sums };
  }

  #rotation(): BufferView {
    return this.#once("rotation", () => {
      const { headSize, rope } = this.dims;
      const rotation = this.create("rotation", headSize);
      this.gpu.write(rotation, 0, Float32Array.from(futureRotation(rope, headSize, this.buffers.nextPosition ?? this.tokens, this.options.futurePositions)));
      return rotation;
    });
  }

  /** Log of the softmax denominator of a chunk's queries: (G, chunk H/G), by row from the first that counts on. */
  #normalizers(spec: ReceivedSpec): BufferView {
    return this.#once(`normalizers ${spec.queries}`, () => {
      const { gpu, dims, keys, storage } = this;
      const { step, rotated: queries } = this.buffers;
      const firstQuery = this.#firstQuery(spec);
      const normalizers = this.create("normalizers", queries.size / 4 / dims.headSize);
      const gather = queryNormalizers(gpu, dims, { step, range: this.#queryRange({ firstQuery }), queries, keys, normalizers, storage });
      this.addToChunks({
        record: (recorder, count, first, replay) => {
          const rows = first + count - Math.max(first, firstQuery);
          if (replay === (spec.queries === "replay") && rows > 0) gather.record(recorder, rows);
        },
      });
      return normalizers;
    });
  }

  #firstQuery({ queries }: ReceivedSpec): number {
    if (queries === "all") return 0;
    return queries === "replay" ? this.tokens : Math.max(0, this.tokens - queries);
  }

  #queryRange(range: Omit<QueryRange, "tokens" | "capacity" | "headSize">): GPUBuffer {
    const { gpu, tokens, capacity, dims } = this;
    const buffer = createQueryRange(gpu, this.buffers.owner, { tokens, capacity, headSize: dims.headSize, ...range });
    this.#created.push(buffer);
    return buffer;
  }

  /** A statistic by its name: made when first asked for. */
  #once(name: string, make: () => BufferView): BufferView {
    const known = this.#statistics.get(name);
    if (known) return known;
    const made = make();
    this.#statistics.set(name, made);
    return made;
  }
}

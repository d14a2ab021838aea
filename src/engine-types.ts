// engine-types: the engine's public words. Types only: the page, the worker, Node and the engine all speak them.

import type { ColdOptions, ColdReport } from "./cold-types";
import type { CacheMap } from "./map-types";
import type { PresetName } from "./policy/presets";
import type { BudgetSpec, ReadSpec } from "./policy/spec-parts";
import type { OpenRequest, Session } from "./session-types";

export type { ColdOptions, ColdReport } from "./cold-types";
export type { CacheMap, HeadMap, MarkerSpan } from "./map-types";
export type { OpenRequest, SendRequest, Session, SessionMark, SessionUsage } from "./session-types";
export type { BudgetSpec, PresetName, ReadSpec };

/**
 * Formats a slot can have, by bits of key and value. k3v2, k2v2-klt, k1.5v2 and k1.5v1 need a calibration of the model; those in "-half" and "-quarter"
 * keep that part of the channels, the largest.
 */
export type FormatName = WholeFormat | "k8v8-half" | "k8v8-quarter" | "k4v4-half" | "k4v4-quarter";
type WholeFormat = "k16v16" | "k8v8" | "k8v4" | "k4v4" | "k4v2" | "k3v2" | "k2v2-klt" | "k2v2" | "k1.5v2" | "k1.5v1";

/** Methods that say how much a slot will matter (src/policy/scorers). */
export type ScoreName =
  | "expected-attention"
  | "ensemble"
  | "ensemble-replay"
  | "attention-history"
  | "h2o"
  | "snapkv"
  | "defensive"
  | "critical"
  | "tova"
  | "streaming-llm"
  | "knorm"
  | "keydiff"
  | "lagkv"
  | "value-norm"
  | "random"
  | "kvzip"
  | "r-kv"
  | "cake"
  | "qfilter"
  | "expected-attention-stats";

/** A method and its settings; what is left out is the paper's own. Each method's file says which it reads. */
export interface ScoreSpec {
  readonly kind: ScoreName | "none";
  /** Positions to come over which RoPE is averaged. */
  readonly futurePositions?: number;
  /** Added to attention before it is multiplied by the value's norm. */
  readonly epsilon?: number;
  readonly valueNorm?: boolean;
  /** Last queries of the prompt that are looked at. */
  readonly window?: number;
  /** Neighbouring positions that share their scores, odd; and how. */
  readonly pool?: number;
  readonly poolKind?: "max" | "mean";
  /** What counts of the attention of several queries. */
  readonly reduce?: "mean" | "max" | "sum";
  /** Weight of a query over that of the next one, above 0, at most 1 (h2o). */
  readonly decay?: number;
  /** attention-history: exponent of what d positions earn by themselves, (1 + d)^-distance, 0 (nothing is corrected) to 1, default .5 (P of AGACC 2.3). */
  readonly distance?: number;
  /** Tokens that are judged together, by the best of them. */
  readonly block?: number;
  /** Part of importance against redundancy, 0 to 1. */
  readonly lambda?: number;
  /** Weight of the variance of attention beside its mean (cake). */
  readonly gamma?: number;
  /** Tokens of a partition (lagkv). */
  readonly lag?: number;
  readonly seed?: number;
}

export type MarkerKind = "mean" | "plain";

/** Four independent choices (design: score, budget, precision, schedule), all optional but `precision`. */
export interface PolicySpec {
  readonly score?: ScoreSpec;
  readonly budget?: BudgetSpec;
  readonly precision: {
    readonly kind: "evict-only" | "uniform" | "tiers" | "agacc" | "rate-distortion";
    readonly format?: FormatName;
    readonly formats?: readonly FormatName[];
    /** tiers: importance from which a slot gets each format; agacc: [evict, low, high]. Relative to uniform importance, times a factor that the budget finds. */
    readonly thresholds?: readonly number[];
    /** agacc: least and most bits, default [2, 8]. */
    readonly bits?: readonly [number, number];
    /** agacc: slots of little importance lose their smaller channels, up to the part `most`, where that is at least `sparsity` (default .5); least bits 4 or 8. */
    readonly prune?: { readonly most: number; readonly sparsity?: number };
    /** What sets the grid of 8 and 4 bits: the smallest and the largest channel (default), or mean and standard deviation (AGACC). */
    readonly quantizer?: "range" | "deviation";
    /** quantizer "deviation": standard deviations that its outermost codes lie from the mean, .5 to 16, default 3 (s of AGACC 2.4.1). */
    readonly deviations?: number;
    /**
     * rate-distortion: damage of a logit's error that saturates, the power of importance, what recent tokens weigh together beside it (default .25; after a score that
     * replays the prompt 1, and .5 below a tenth of the bytes; 0 with the schedule "prefill"), and the tokens over which that is halved.
     */
    readonly kappa?: number;
    readonly power?: number;
    readonly recency?: number;
    readonly recencySpan?: number;
  };
  /**
   * When slots in pages are judged anew; layers take turns, `ring` / 2 tokens long. "ring" (default): whenever tokens leave the ring. In between, the other
   * schedules keep tokens that leave it in the richest of the formats: "every" judges every `tokens` tokens (default 128), "budget" when a layer's
   * pages could run out, down to 7/8 of them, "prefill" judges the prompt alone, within what the new tokens leave of the budget. Uniform precision ignores it.
   */
  readonly schedule?: { readonly kind: "ring" | "every" | "budget" | "prefill"; readonly tokens?: number };
  /**
   * Judge slots by what tokens decoded later look at, too (AGACC 2.6): every `every` tokens importance becomes decay x what slots received from the last
   * `window` tokens + (1 - decay) x what it was. A slot whose importance rises to `rise` times what it was keeps its format until it falls. Defaults 64,
   * `every`, .5, 2. Not for uniform precision.
   */
  readonly reevaluate?: { readonly every?: number; readonly window?: number; readonly decay?: number; readonly rise?: number };
  /**
   * From one layer on, the prompt's pass goes on with part `rate` of its tokens alone (FastKV): layers up to `layer` (default: half of them) see all; there
   * the attention of the last `window` queries, averaged over `pool` neighbours, chooses. Defaults .2, 8, 7. Without a budget, 10 %. Not with uniform precision, a
   * score that replays or averages over layers, layers weighed against each other, markers or a cold tier.
   */
  readonly propagate?: { readonly rate?: number; readonly layer?: number; readonly window?: number; readonly pool?: number };
  /** What a decoded token reads of what is held; everything by default. */
  readonly read?: ReadSpec;
  /** Tokens of the ring: the newest half of them at least stands there, unjudged. Default 16; 8 where rate-distortion has less than a tenth of the bytes, 12 there beside guests. */
  readonly ring?: number;
  /** The first tokens, never judged. Default 4; 2 where the ring is 8 or 12 by default. */
  readonly sinks?: number;
  /** Of a channel of sinks and ring: 16 are f16; 8 are codes. Default 8 with rate-distortion, else 16. */
  readonly ringBits?: 16 | 8;
  /** Token ranges [start, end) never evicted, never below k8v8: one of the formats must have 8 bits or more. */
  readonly pinned?: readonly (readonly [number, number])[];
  /**
   * At most `count` slots a kv head, in 16 bits, that stand for what was dropped, in spans by position; the budget pays for them. "mean" (default): a span's mean key
   * and value, weighted by importance, and the log of its tokens more in the logit. "plain": a slot that says nothing of its span, the proposal's marker. Default none.
   */
  readonly markers?: { readonly count: number; readonly kind?: MarkerKind };
  /** Rows a kv head set aside for evicted tokens that are brought back, in `guestBits` a channel (default 8); the budget pays for them. Default 0. */
  readonly guests?: number;
  readonly guestBits?: 8 | 4;
}

/** A ratio of the full 16-bit cache, or bytes. */
export type Budget = { readonly ratio: number } | { readonly bytes: number };

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** Raw text (special tokens in it are parsed), ids, or chat messages (special tokens in them are plain text). */
export type Prompt = { readonly text: string } | { readonly ids: readonly number[] } | { readonly messages: readonly ChatMessage[] };

export interface Progress {
  readonly phase: "download" | "verify" | "upload" | "calibrate" | "compile" | "prefill";
  /** Bytes for download, verify and upload; steps for calibrate; kernels for compile; (layer, token) pairs for prefill. */
  readonly done: number;
  readonly total: number;
}

export interface CacheOptions {
  /** A preset's name or a policy of one's own. Default: "lacuna" where a budget is given, else "full". */
  readonly policy?: PresetName | PolicySpec;
  /** What the policy may use. Needed by policies that drop or choose bits; ignored by full and uniform ones; "auto" has its own where none is given. */
  readonly budget?: Budget;
  /** Keep what is evicted outside the GPU, and bring it back when the conversation turns to it. Without it, what is evicted is gone. */
  readonly cold?: ColdOptions;
  /** What the answer is for: "auto" keeps at least 30 % of the bytes where the model reasons. */
  readonly task?: "chat" | "reasoning";
}

export interface SamplingOptions {
  readonly temperature?: number; // 0 = greedy (default)
  readonly topK?: number; // 0 = off
  readonly topP?: number; // 1 = off
  readonly minP?: number; // 0 = off
  readonly repetitionPenalty?: number; // 1 = off
  readonly seed?: number;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface GenerateRequest extends CacheOptions, SamplingOptions, RunOptions {
  readonly prompt: Prompt;
  readonly maxTokens?: number; // default 256
  readonly stop?: readonly string[];
  /** Tokens before `from` are the prompt that is compressed; the others come in one by one afterwards. Default: the whole prompt is compressed. */
  readonly from?: number;
  /** Send the cache map along with the last event (a readback). */
  readonly cacheMap?: boolean;
}

/** Measured: sums of live GPUBuffer sizes of this session's cache, bytes. */
export interface KvReport {
  readonly bytes: number;
  /** What the same tokens take in the cache under policy `full`, 16 bits: tokens x layers x kv heads x 2 x head size x 2. The yardstick of ratios, not a measurement. */
  readonly fullBytes: number;
  readonly peakBytes: number;
  /** Bytes of slots by format (codes, scales, position and importance), read back from the page tables. */
  readonly bytesByFormat: Partial<Record<FormatName | "ring", number>>;
  /** Bytes that attention reads of the cache for a token (src/cache/bytes-read.ts): codes, scales, bounds, sinks, ring, as the kernels counted. */
  readonly bytesReadPerToken: number;
  readonly slotsKept: number;
  readonly slotsEvicted: number;
  readonly cold?: ColdReport; // where there is a cold tier
}

export interface Timings {
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

export interface PerToken {
  readonly dispatches: number;
  readonly submits: number;
  readonly objectsCreated: number;
}

export type FinishReason = "stop" | "length" | "abort" | "context";

export interface GenerateResult {
  readonly prompt: { readonly tokens: number; readonly ids: readonly number[] };
  readonly output: { readonly text: string; readonly ids: readonly number[]; readonly finishReason: FinishReason };
  readonly kv: KvReport;
  readonly timings: Timings;
  readonly perToken: PerToken;
  readonly cacheMap?: CacheMap;
}

export type GenerateEvent =
  /** The prompt is in the cache (compressed); decoding starts. */
  | { readonly kind: "prefilled"; readonly promptIds: readonly number[]; readonly prefillMs: number; readonly kvBytes: number }
  /** New tokens. `text` never ends in half a character; it may be empty while one is incomplete. */
  | {
      readonly kind: "tokens";
      readonly ids: readonly number[];
      readonly text: string;
      readonly count: number;
      readonly kvBytes: number;
      readonly fullBytes: number;
      readonly elapsedMs: number;
    }
  | { readonly kind: "done"; readonly result: GenerateResult };

export interface ScoreRequest extends CacheOptions, RunOptions {
  readonly prompt: Prompt;
  /** Tokens before `from` are the prompt, compressed; those from it on are forced. */
  readonly from: number;
  readonly cacheMap?: boolean;
}

/** One forced token: log-probabilities in nats, under the compressed and the full cache. */
export interface ScoredToken {
  readonly id: number;
  readonly logprob: number;
  readonly fullLogprob: number;
  /** KL(full || compressed) over the whole vocabulary, nats. */
  readonly kl: number;
  /** Both caches put the same token first. */
  readonly top1: boolean;
  /** The ids that the compressed and the full cache put first: greedy decoding is right where `first` is `id`. */
  readonly first: number;
  readonly fullFirst: number;
}

export interface ScoreResult {
  readonly from: number;
  readonly tokens: readonly ScoredToken[];
  readonly meanKl: number;
  readonly top1Agreement: number;
  readonly prompt: { readonly tokens: number; readonly ids: readonly number[] };
  readonly kv: KvReport;
  readonly timings: Timings;
  readonly perToken: PerToken;
  readonly cacheMap?: CacheMap;
}

export type ScoreEvent = { readonly kind: "scored"; readonly tokens: readonly ScoredToken[] } | { readonly kind: "done"; readonly result: ScoreResult };

export interface MemoryReport {
  readonly weights: number;
  readonly kv: number;
  readonly scratch: number;
  readonly staging: number;
  readonly readback: number;
  readonly total: number;
  readonly peak: number;
}

export interface EngineInfo {
  readonly model: {
    readonly name: string;
    readonly architecture: string;
    readonly sha256: string;
    readonly layers: number;
    readonly kvHeads: number;
    readonly headSize: number;
    readonly context: number;
    readonly bytes: number;
  };
  readonly adapter: { readonly description: string; readonly features: readonly string[]; readonly software: boolean };
  readonly loadMs: number;
}

/** Where a model comes from: a catalogue name, a URL, a File dropped on the page, or (Node) a path. */
export type ModelSource = { readonly model: string } | { readonly url: string; readonly sha256?: string } | { readonly file: File } | { readonly path: string };

export type LoadRequest = ModelSource &
  RunOptions & {
    /** Features not to use although the adapter has them. */
    readonly without?: readonly ("shader-f16" | "subgroups")[];
    /**
     * What is known of the model's cache (npm run calibrate): a file of one's own, refused if it is another model's. Default: the one that is bundled
     * or was made here. False: run without: no calibrated formats, shares or scores.
     */
    readonly calibration?: boolean | Uint8Array<ArrayBuffer> | Blob;
    /** Positions to prepare for; default the model's own, at most 8,192. */
    readonly context?: number;
    /** Address beside which models/ lies; default the page's own. */
    readonly base?: string;
  };

/** The engine, the same in the page's thread, in a worker and in Node. */
export interface Engine {
  readonly info: EngineInfo;
  generate(request: GenerateRequest): AsyncIterable<GenerateEvent>;
  score(request: ScoreRequest): AsyncIterable<ScoreEvent>;
  /** A conversation's cache. Throws what generate() throws for cache options, and BAD_OPTION for `tokens` outside the context. Disposed with the engine. */
  open(request: OpenRequest): Promise<Session>;
  tokenize(prompt: Prompt): Promise<number[]>;
  /** One piece of text per id, for views that need token boundaries. */
  detokenize(ids: readonly number[]): Promise<string[]>;
  memory(): Promise<MemoryReport>;
  dispose(): Promise<void>;
}

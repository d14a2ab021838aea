// scorer: the contract of a method that says how much a slot will matter. One file a method beside this one, and a line in index.ts.
// A method asks the view for the statistics it needs and adds the dispatches that turn them into importance. Phases (chunks of a prompt,
// rings while decoding), buffers' lives and what is done with importance are the cache's business, never a method's.

import type { ScoreName } from "../../engine-types";
import type { Gpu } from "../../gpu/device";
import type { BufferView } from "../../gpu/kernel";
import type { BufferRole } from "../../gpu/ledger";
import type { Op, Recorder } from "../../gpu/recorder";
import type { KeyStorage, ScoringDims } from "../../kernels/scoring";
import type { Calibration } from "../calibration";

/** A method's settings, all set. Which of them it reads is told in its own file. */
export interface ScoreOptions {
  readonly kind: ScoreName;
  /** First positions: left out of statistics and scores. */
  readonly sinks: number;
  /** Positions to come over which RoPE is averaged, e.g. 512. */
  readonly futurePositions: number;
  /** Added to attention before the value norm. */
  readonly epsilon: number;
  /** Multiply by |v|. */
  readonly valueNorm: boolean;
  /** Last queries of the prompt that are looked at. */
  readonly window: number;
  /** Positions that share their scores, odd; 1 for none; and how. */
  readonly pool: number;
  readonly poolKind: "max" | "mean";
  /** What counts of the attention that several queries pay: their mean, the largest, or their sum, whether or not they all could. */
  readonly reduce: "mean" | "max" | "sum";
  /** Weight of a query over that of the next one, 0 to 1. */
  readonly decay: number;
  /** Exponent of P(d) = (1 + d)^-distance, by which attention is divided, d positions before the next token (AGACC 2.3); 0 for none. */
  readonly distance: number;
  /** Tokens that are judged together, by the best of them. */
  readonly block: number;
  /** Part of importance against redundancy (r-kv). */
  readonly lambda: number;
  /** Weight of the variance of attention beside its mean (cake). */
  readonly gamma: number;
  /** Tokens of a partition (lagkv). */
  readonly lag: number;
  readonly seed: number;
}

export type { ScoreName };

/** Which queries' attention is added up, and how. */
export interface ReceivedSpec {
  /** The last so many of the prompt, all of it, or those of a replay that follows it. */
  readonly queries: number | "all" | "replay";
  /** Over queries. Sums are of the mean over a group's heads (squares: of its square); max is the largest of any head. */
  readonly reduce: "sum" | "max" | "squares" | "max-of-mean";
  /** Weight of a query over that of the next one; 1 by default. Sums only. */
  readonly decay?: number;
  /** Counts for a slot only the so many queries that follow its own; by default its own and all that follow. */
  readonly followers?: number;
}

/** One layer of a prompt as a method sees it. Buffers are those of the layer at hand, whichever it is when the ops are recorded. */
export interface PromptView {
  readonly gpu: Gpu;
  readonly dims: ScoringDims; // H heads, G kv heads, D head size
  /** ScoreParams (shaders/lib/score-params.wgsl): tokens, sinks, capacity, epsilon. */
  readonly params: GPUBuffer;
  readonly tokens: number;
  readonly capacity: number;
  readonly keys: BufferView; // (G, capacity, D) after RoPE, as `storage` says
  readonly values: BufferView; // (G, capacity, D)
  readonly storage: KeyStorage;
  /** (G, tokens) f32: what a method writes; larger = keep, positive. Sinks' entries mean nothing. */
  readonly importance: GPUBuffer;
  /** (G, 7 D/2 + 4) f32: condensed moments, kept for decoding (shaders/lib/moments-record.wgsl). Filled by keyTerms() and moments(). */
  readonly moments: BufferView;
  /** The layer's index for methods that depend on it: a uniform of (layer, layer * G, 0, 0), written as the layers go by. */
  readonly layer: GPUBuffer;
  /** What was measured once of the model, where it was: requireCalibration(). */
  readonly calibration: Calibration | undefined;
  /** Adds a dispatch after the layer's last chunk; they run in the order added. */
  add(op: Op): void;
  /** Adds a dispatch after every chunk of queries. */
  addToChunks(op: ChunkOp): void;
  /** A buffer that lives as long as the view. */
  create(part: string, floats: number, role?: BufferRole): GPUBuffer;
  /** Condensed moments alone. */
  pooledMoments(): BufferView;
  /** (G, tokens) vec2f: 1/|k|, |v|. */
  norms(): BufferView;
  /** (H, tokens) f32: log expected attention, not normalised (kvpress 1.2), of queries like the prompt's or, where given, like those stored (1.5). */
  expectedLogits(stored?: Calibration): BufferView;
  /** (G, tokens) vec2f: (1 - cos(k, mean unit key))^3, condensed log-score. */
  keyTerms(): BufferView;
  /** The moments, with the mean unit key of every head in their record. */
  meanKeys(): BufferView;
  /** (G, tokens) f32: L2 norm of what the output projection makes of a value, over the group's heads. */
  projectedNorms(): BufferView;
  /** (G, tokens) f32. */
  received(spec: ReceivedSpec): BufferView;
  /** (H, tokens) vec4f: sums over the last `window` queries of p, p^2 and -p log p, and the queries. */
  spread(window: number): BufferView;
}

/** What runs with every chunk. */
export interface ChunkOp {
  /** Forgets the layer before. */
  begin?(recorder: Recorder): void;
  /** Prompt rows first .. first + tokens - 1 stand in the step's buffers. `replay`: they follow the prompt. */
  record(recorder: Recorder, tokens: number, first: number, replay: boolean): void;
}

/** The ring of one layer when its older tokens are judged. */
export interface RingView {
  readonly gpu: Gpu;
  readonly dims: ScoringDims;
  readonly layer: number;
  /** Uniform of (layer, 0, 0, 0). */
  readonly layerIndex: BufferView;
  /** firstPosition: the next token's; context: tokens in the ring; ringLength: rows that are scored. */
  readonly step: GPUBuffer;
  readonly keys: BufferView; // (G, slots, D) f16 pairs
  readonly values: BufferView; // (G, slots, D) f16 pairs
  readonly slots: number; // sinks and ring
  readonly storage: KeyStorage;
  readonly moments: BufferView; // of this layer, as the prompt left them: see keptLayout
  readonly rotation: BufferView; // (D/2) vec2f: mean cos and sin of the positions to come
  /** (G, slots) f32: mean attention a slot has got from each query since its own, over the group's heads, or the most; only where the method asks for it. */
  readonly received: BufferView | undefined;
  readonly importance: BufferView; // (G, slots) f32
  /** W_o^T W_o of every layer, (L, G, D, D) f32; only where the method asks for it. */
  readonly outputGrams: BufferView | undefined;
  readonly calibration: Calibration | undefined;
  /** A buffer of this layer's that lives as long as the view. */
  create(part: string, floats: number): GPUBuffer;
}

export interface Scorer {
  readonly name: ScoreName;
  /** Paper or formula. */
  readonly source: string;
  /** The paper's own settings, where they differ from DEFAULTS. */
  readonly defaults: Partial<ScoreOptions>;
  /** Settings that would seem to say something here, and what is allowed instead. Others that the method does not read are left alone. */
  readonly refuses?: Partial<Readonly<Record<Exclude<keyof ScoreOptions, "kind" | "sinks">, string>>>;
  /** The scores of a head sum to 1 by themselves: they are attention, and rate-distortion can use them as they are. */
  readonly mass?: boolean;
  /** Needs a second pass over the prompt. */
  readonly replay?: boolean;
  /** Needs the attention that ring slots receive while decoding: its mean, or the most that any query of any head pays. */
  readonly ringAttention?: "mean" | "max";
  /** Needs RingView.outputGrams. */
  readonly projected?: boolean;
  /** Importance is mean attention a query, over the heads of all layers (shared) or its own, over P(d) of ScoreOptions.distance: re-evaluation follows it. */
  readonly history?: { readonly shared: boolean };
  /** Adds to the view what writes importance of a layer's prompt. */
  prompt(view: PromptView, options: ScoreOptions): void;
  /** What writes importance of a layer's ring, on the scale of the prompt's. */
  ring(view: RingView, options: ScoreOptions): Op;
}

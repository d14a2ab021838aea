// lanes: what one pane knows about its run, and how the engine's events change it. Pure: figures follow the definitions in figures.tsx.

import type { GenerateEvent, GenerateResult, Progress, ScoredToken } from "../../src/engine-types";
import type { EngineError } from "../../src/errors";

export type LaneStatus = "idle" | "waiting" | "reading" | "writing" | "done" | "stopped" | "failed";

export interface Lane {
  readonly status: LaneStatus;
  readonly promptIds: readonly number[];
  readonly ids: readonly number[];
  /** The text in pieces as they came; one per token once the run is over. */
  readonly pieces: readonly string[];
  readonly prefill: Progress | undefined;
  readonly prefillMs: number | undefined;
  readonly kvBytes: number | undefined;
  readonly fullBytes: number | undefined;
  /** Count and time of the first and the newest batch of tokens: speed is the slope between them. */
  readonly firstBatch: Tick | undefined;
  readonly lastBatch: Tick | undefined;
  readonly result: GenerateResult | undefined;
  readonly error: EngineError | undefined;
  readonly drift: Drift | undefined;
}

export interface Tick {
  readonly count: number;
  readonly ms: number;
}

/** Forced decoding of the lane's own output: the same tokens through both caches. */
export interface Drift {
  readonly status: "running" | "done" | "stopped" | "failed";
  readonly tokens: readonly ScoredToken[];
  /** Texts of the tokens that either cache put first where they disagree. */
  readonly preferred: ReadonlyMap<number, string>;
  readonly error: EngineError | undefined;
}

export const EMPTY_LANE: Lane = {
  status: "idle",
  promptIds: [],
  ids: [],
  pieces: [],
  prefill: undefined,
  prefillMs: undefined,
  kvBytes: undefined,
  fullBytes: undefined,
  firstBatch: undefined,
  lastBatch: undefined,
  result: undefined,
  error: undefined,
  drift: undefined,
};

export function applyEvent(lane: Lane, event: GenerateEvent): Lane {
  switch (event.kind) {
    case "prefilled":
      return { ...lane, status: "writing", promptIds: event.promptIds, prefillMs: event.prefillMs, kvBytes: event.kvBytes };
    case "tokens": {
      const batch = { count: event.count, ms: event.elapsedMs };
      const pieces = event.text ? [...lane.pieces, event.text] : lane.pieces;
      return {
        ...lane,
        ids: [...lane.ids, ...event.ids],
        pieces,
        kvBytes: event.kvBytes,
        fullBytes: event.fullBytes,
        firstBatch: lane.firstBatch ?? batch,
        lastBatch: batch,
      };
    }
    case "done": {
      const { output, prompt, kv, timings } = event.result;
      const status = output.finishReason === "abort" ? "stopped" : "done";
      return {
        ...lane,
        status,
        promptIds: prompt.ids,
        ids: output.ids,
        kvBytes: kv.bytes,
        fullBytes: kv.fullBytes,
        prefillMs: timings.prefillMs,
        result: event.result,
      };
    }
    default:
      return event satisfies never;
  }
}

/** Tokens a second between the first and the newest token; undefined before the eighth. */
export function decodeSpeed(lane: Lane): number | undefined {
  const { firstBatch, lastBatch } = lane;
  if (!firstBatch || !lastBatch || lastBatch.count < 8 || lastBatch.ms <= firstBatch.ms) return undefined;
  return (1000 * (lastBatch.count - firstBatch.count)) / (lastBatch.ms - firstBatch.ms);
}

/** How many times smaller than the same tokens in 16 bits. */
export function ratio(lane: Lane): number | undefined {
  return lane.kvBytes && lane.fullBytes ? lane.fullBytes / lane.kvBytes : undefined;
}

export interface DriftSummary {
  readonly same: number;
  readonly count: number;
  readonly meanKl: number;
  readonly worst: number;
  readonly worstAt: number;
}

export function summarize(tokens: readonly ScoredToken[]): DriftSummary | undefined {
  if (tokens.length === 0) return undefined;
  const kls = tokens.map((token) => token.kl);
  const worst = Math.max(...kls);
  return {
    same: tokens.filter((token) => token.top1).length,
    count: tokens.length,
    meanKl: kls.reduce((sum, kl) => sum + kl, 0) / kls.length,
    worst,
    worstAt: kls.indexOf(worst),
  };
}

/** First token at which two outputs differ; undefined while one is a beginning of the other. */
export function firstSplit(left: readonly number[], right: readonly number[]): number | undefined {
  const shared = Math.min(left.length, right.length);
  for (let i = 0; i < shared; i++) if (left[i] !== right[i]) return i;
  return undefined;
}

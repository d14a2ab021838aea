// session-types: the public words of conversations. Types only, and part of engine-types, by which they are imported.

import type { CacheOptions, ColdReport, GenerateEvent, Prompt, RunOptions, SamplingOptions } from "./engine-types";

export interface OpenRequest extends CacheOptions {
  /** The most tokens that the session will ever hold, prompts and answers: its memory is taken when it is opened, and a ratio is one of the full cache of these. */
  readonly tokens: number;
}

export interface SendRequest extends SamplingOptions, RunOptions {
  /** A string is appended as it is, like `{ text }`; of messages only the new ones are given. */
  readonly prompt: Prompt | string;
  readonly maxTokens?: number; // default 256; what is left of the session's tokens, if that is less
  readonly stop?: readonly string[];
  readonly cacheMap?: boolean;
}

export interface SessionUsage {
  /** Of all prompts and answers. */
  readonly tokens: number;
  /** The most it will hold. */
  readonly capacity: number;
  /** Live bytes of the cache. */
  readonly kvBytes: number;
  /** What `tokens` take in a full 16-bit cache: the yardstick of ratios. */
  readonly fullBytes: number;
  /** Live bytes of snapshots: no part of the cache's budget. */
  readonly snapshotBytes: number;
  /** Where the slots are, where there is a cold tier. */
  readonly cold?: ColdReport;
}

/** A moment of a session. */
export interface SessionMark {
  readonly tokens: number;
  /** GPU memory that it holds until it is disposed, or its session is. */
  readonly bytes: number;
  dispose(): Promise<void>;
}

/**
 * A conversation over one cache. The first prompt goes in layer by layer and is compressed; later ones are appended token by token and compressed
 * as they leave the ring, like the answers. The conversation is exactly what the events report: the ids of prompts and answers, in order. That
 * includes an end token, and the tokens of a stop string.
 */
export interface Session {
  /**
   * One turn; one at a time. Throws BAD_OPTION, CONTEXT_FULL, BUSY and DISPOSED before anything is touched.
   * Leaving the loop or the signal ends a turn and leaves the session usable: a first prompt that was not wholly in leaves it empty, a later one
   * leaves the tokens that were in, an answer the tokens that were told. (From a worker, tokens that it made before it heard of the end count as told.)
   */
  send(request: SendRequest): AsyncIterable<GenerateEvent>;
  /** A second session that goes on from here by itself: a copy of the cache, made on the GPU. Throws BUSY, OUT_OF_MEMORY, and STORAGE where its cold tier cannot have a file. */
  fork(): Promise<Session>;
  /** A copy of the cache to go back to. Throws BUSY, OUT_OF_MEMORY. */
  snapshot(): Promise<SessionMark>;
  /** Goes back to a snapshot of this session, bit by bit; it can be gone back to again. Throws BUSY, and BAD_OPTION for others' snapshots. */
  restore(mark: SessionMark): Promise<void>;
  usage(): Promise<SessionUsage>;
  /**
   * Sets another byte limit for the cold tier; what no longer fits is gone at once, the least worth first, what is recalled last: where
   * that has left its pages (recall.promote), nothing of it is left then.
   * Throws BUSY, and BAD_OPTION below one block or where there is no cold tier; nothing has changed then.
   */
  limitCold(maxBytes: number): Promise<void>;
  /** Frees cache and snapshots. A turn under way ends with DISPOSED. */
  dispose(): Promise<void>;
}

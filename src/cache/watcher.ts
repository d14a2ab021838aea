// watcher: what follows a cache from outside is told of every prompt layer and every token, in the submits that fill it: the cold tier (src/cold).
// Leaves to others: what is done with it.

import type { Recorder } from "../gpu/recorder";
import type { PromptStaging, RowScores } from "./kv-cache";

/** A cache has one at most. */
export interface CacheWatcher {
  beginPrompt(staging: PromptStaging, scores?: RowScores): void;
  /** A layer's keys and values stand in the staging buffer, scored. */
  recordPrompt(recorder: Recorder, layer: number): void;
  endPrompt(tokens: number): void;
  /** Ids of the tokens from `position` on, as soon as they are known: after a prompt, with a token that is forced, when a sample is taken. */
  tell(position: number, ids: readonly number[]): void;
  /** After the compression of rings and before anything of the token at `position`. */
  beforeToken(recorder: Recorder, position: number): void;
  /** After a layer's attention. */
  attended(recorder: Recorder, layer: number): void;
  /** After the token's last layer. */
  recordToken(recorder: Recorder, position: number): void;
  /** What was recorded is submitted. */
  sent(): void;
  /** The newest tokens were taken back; `tokens` are left. */
  rewind(tokens: number): void;
  /** What a copy of the cache must know of it to go back to this moment. */
  readonly state: unknown;
  /** The cache is about to hold another moment, `tokens` long, whose watcher was in this state; undefined: none. */
  resume(state: unknown, tokens: number): void;
  /** Resolves when another layer of a prompt can be recorded. */
  ready(): Promise<void>;
}

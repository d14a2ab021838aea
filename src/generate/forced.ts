// forced: what score and score-many share: a prompt cut in two, and parts that end with the request.

import type { Prompt } from "../engine-types";
import { throwIfAborted } from "../errors";
import { checkFrom, encodePrompt, type Runtime } from "./runtime";

/** Tokens before `from` are the prompt, compressed; those from it on are forced. One of each at least. */
export interface Forced {
  readonly ids: readonly number[];
  readonly from: number;
  readonly prompt: readonly number[];
}

/** Throws ABORTED, BAD_OPTION and CONTEXT_FULL. */
export function encodeForced(runtime: Runtime, request: { readonly prompt: Prompt; readonly from: number; readonly signal?: AbortSignal }): Forced {
  throwIfAborted(request.signal);
  const ids = encodePrompt(runtime, request.prompt);
  const from = checkFrom(request.from, 1, ids.length - 1);
  return { ids, from, prompt: ids.slice(0, from) };
}

interface Part {
  dispose(): void | Promise<void>;
}

/** Disposes of what it keeps, the last one first. */
export class Parts {
  readonly #parts: Part[] = [];

  keep<Kept extends Part>(part: Kept): Kept {
    this.#parts.push(part);
    return part;
  }

  async dispose(): Promise<void> {
    for (let part = this.#parts.pop(); part; part = this.#parts.pop()) await part.dispose();
  }
}

// stop: ends a stream of text at the first stop string, and holds back what may be the start of one. Knows nothing of tokens.

import { EngineError } from "../errors";

/** Text that can be shown. `matched` is the stop string that ended the stream; it is not part of the text. */
export interface StopResult {
  readonly text: string;
  readonly matched?: string;
}

/**
 * Splits a stream at the stop string that is complete first; of two that end at the same place the longer wins.
 * What comes out does not depend on how the text is cut into pieces.
 */
export class StopSplitter {
  readonly #stops: readonly string[];
  #held = "";
  #ended = false;

  constructor(stops: readonly string[]) {
    this.#stops = checkStops(stops);
  }

  /** True once a stop string was met: nothing more may be pushed. */
  get ended(): boolean {
    return this.#ended;
  }

  push(piece: string): StopResult {
    if (this.#ended) throw new EngineError("INTERNAL", "Text was pushed after a stop string. Report this.");
    const text = this.#held + piece;
    const found = firstMatch(text, this.#stops);
    if (found !== undefined) {
      this.#held = "";
      this.#ended = true;
      return { text: text.slice(0, found.start), matched: found.stop };
    }
    const numHeld = heldLength(text, this.#stops);
    this.#held = text.slice(text.length - numHeld);
    return { text: text.slice(0, text.length - numHeld) };
  }

  /** The stream is over: what was held back is text after all. */
  flush(): string {
    const text = this.#held;
    this.#held = "";
    return text;
  }
}

/** The stop strings of a request, checked. */
export function checkStops(stops: readonly string[]): readonly string[] {
  if (!Array.isArray(stops))
    throw new EngineError("BAD_OPTION", `stop is ${typeof stops}, expected an array of strings. Put the string into one.`, {
      field: "stop",
      found: stops,
      expected: "an array of strings",
    });
  stops.forEach((stop, i) => {
    if (typeof stop === "string" && stop !== "") return;
    const found = typeof stop === "string" ? "empty" : typeof stop;
    throw new EngineError("BAD_OPTION", `stop[${i}] is ${found}, expected a string of at least one character. Correct or remove it.`, {
      field: `stop[${i}]`,
      found: stop,
      expected: "a string of at least one character",
    });
  });
  return stops;
}

function firstMatch(text: string, stops: readonly string[]): { readonly start: number; readonly stop: string } | undefined {
  let first: { readonly start: number; readonly stop: string } | undefined;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    if (start < 0) continue;
    const later = first === undefined ? -1 : start + stop.length - (first.start + first.stop.length);
    if (first === undefined || later < 0 || (later === 0 && stop.length > first.stop.length)) first = { start, stop };
  }
  return first;
}

// Length of the longest end of the text that a stop string begins with.
function heldLength(text: string, stops: readonly string[]): number {
  const longest = Math.max(0, ...stops.map((stop) => stop.length - 1));
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.startsWith(end))) return length;
  }
  return 0;
}

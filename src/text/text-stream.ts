// text-stream: ids -> text as they arrive, in whole characters. Special tokens are not text. Leaves stop strings to src/generate/stop.ts.

/** What a stream must know of a tokenizer. */
export interface TokenBytes {
  /** The bytes an id adds to the text; none for a special token. */
  bytesOf(id: number): Uint8Array;
}

/**
 * Decodes a stream of ids. A character whose bytes are spread over several tokens comes out with the last of them.
 * Nothing is trimmed: what comes continues the prompt, so a SentencePiece word keeps its leading space.
 */
export class TextStream {
  readonly #tokens: TokenBytes;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // a BOM in the middle of an answer is a character like any other

  constructor(tokens: TokenBytes) {
    this.#tokens = tokens;
  }

  /** The text that these ids complete; may be empty. */
  push(ids: readonly number[]): string {
    return ids.map((id) => this.#decoder.decode(this.#tokens.bytesOf(id), { stream: true })).join("");
  }

  /** Ends the text: an unfinished character becomes U+FFFD. The stream can then start afresh. */
  flush(): string {
    return this.#decoder.decode();
  }
}

/** The whole text of some ids. */
export function decode(tokens: TokenBytes, ids: readonly number[]): string {
  return detokenize(tokens, ids).join("");
}

/** One piece of text per id; joined they are the whole text. */
export function detokenize(tokens: TokenBytes, ids: readonly number[]): string[] {
  const stream = new TextStream(tokens);
  return ids.map((id, i) => stream.push([id]) + (i === ids.length - 1 ? stream.flush() : ""));
}

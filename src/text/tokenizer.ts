// tokenizer: text -> ids and ids -> bytes, from the lists in a GGUF. Pre-tokenizing and merging are @huggingface/tokenizers' work.
// Leaves to others: chat messages (chat-template.ts), bytes -> characters (text-stream.ts).

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { EngineError } from "../errors";
import { findPreTokenizer } from "./pre-tokenizers";
import { buildTokenBytes } from "./token-bytes";
import { buildTokenizerJson } from "./tokenizer-json";
import { checkMetadata, type TokenizerMetadata, tokenType, typeOf } from "./tokenizer-metadata";

export type { TokenizerMetadata } from "./tokenizer-metadata";

/** What becomes of the names of control tokens in a text: ids, or plain text like any other. */
export type SpecialTokens = "parse" | "plain";

/** A piece of a text: a special token, or what stands between two. */
export type TextPart = { readonly kind: "special"; readonly id: number } | { readonly kind: "text"; readonly text: string };

// Control tokens that end an answer although a file may not name them as EOS (llama.cpp's list, shortened to the architectures here).
const endNames: ReadonlySet<string> = new Set(["<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "</s>"]);

export class Tokenizer {
  /** Number of ids, V. */
  readonly size: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  /** Ids that end an answer. */
  readonly endIds: ReadonlySet<number>;
  /** Name -> id of the tokens that text stands for only when parsed. */
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly #library: LibraryTokenizer;
  readonly #bytes: readonly Uint8Array[];
  readonly #specialIds: ReadonlySet<number>;
  readonly #specialPattern: RegExp | undefined;
  readonly #addBos: boolean;

  constructor(metadata: TokenizerMetadata) {
    checkMetadata(metadata);
    const { tokens, bosId, eosId } = metadata;
    this.size = tokens.length;
    this.bosId = bosId;
    this.eosId = eosId;
    this.specialTokens = findSpecialTokens(metadata);
    this.#specialIds = new Set(this.specialTokens.values());
    this.#specialPattern = patternOf([...this.specialTokens.keys()]);
    const named = [...this.specialTokens].filter(([name]) => endNames.has(name)).map(([, id]) => id);
    this.endIds = new Set([eosId, metadata.eotId, ...named].filter((id) => id !== undefined));
    this.#addBos = metadata.addBos ?? (metadata.model === "llama" || findPreTokenizer(metadata.pre).addBos);
    this.#bytes = buildTokenBytes(metadata);
    this.#library = new LibraryTokenizer(buildTokenizerJson(metadata), {});
  }

  /** The ids of a text, and nothing added to it. */
  encode(text: string, special: SpecialTokens): number[] {
    if (special === "plain") return this.#encodePlain(text);
    return this.splitSpecial(text).flatMap((part) => (part.kind === "special" ? [part.id] : this.#encodePlain(part.text)));
  }

  /** The ids of a raw prompt: special tokens parsed, and the BOS token in front if the model wants one and the text has none. */
  encodePrompt(text: string): number[] {
    const ids = this.encode(text, "parse");
    return this.#addBos && this.bosId !== undefined && ids[0] !== this.bosId ? [this.bosId, ...ids] : ids;
  }

  /** Cuts a text at the names of special tokens, leftmost first, longest first. */
  splitSpecial(text: string): TextPart[] {
    const parts = this.#specialPattern === undefined ? [text] : text.split(this.#specialPattern);
    return parts
      .filter((part) => part !== "")
      .map((part) => {
        const id = this.specialTokens.get(part);
        return id === undefined ? { kind: "text", text: part } : { kind: "special", id };
      });
  }

  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /** The bytes an id adds to a text: none for a special token. */
  bytesOf(id: number): Uint8Array {
    this.#checkId(id);
    return this.#specialIds.has(id) ? empty : (this.#bytes[id] ?? empty);
  }

  /** The name of a special token, for views that show what is hidden in a text. */
  nameOf(id: number): string {
    this.#checkId(id);
    return new TextDecoder().decode(this.#bytes[id]);
  }

  #encodePlain(text: string): number[] {
    return text === "" ? [] : this.#library.encode(text, { add_special_tokens: false }).ids;
  }

  #checkId(id: number): void {
    if (this.#bytes[id] !== undefined) return;
    throw new EngineError("BAD_OPTION", `Token id ${id} is not in the vocabulary, ids are 0 to ${this.size - 1}. Give ids of this model.`, {
      field: "ids",
      found: id,
      expected: [0, this.size - 1],
    });
  }
}

const empty = new Uint8Array(0);

function findSpecialTokens(metadata: TokenizerMetadata): Map<string, number> {
  const { tokens, bosId, eosId, eotId } = metadata;
  const marked = new Set([bosId, eosId, eotId]);
  return new Map(
    tokens.flatMap((token, id) => {
      const type = typeOf(metadata, id);
      const special = type === tokenType.control || type === tokenType.unknown || (metadata.tokenTypes === undefined && marked.has(id));
      return special && token !== "" ? [[token, id] as const] : [];
    }),
  );
}

function patternOf(names: readonly string[]): RegExp | undefined {
  if (names.length === 0) return undefined;
  const longestFirst = [...names].sort((a, b) => b.length - a.length);
  return new RegExp(`(${longestFirst.map((name) => name.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|")})`);
}

// tokenizer-metadata: what the text code needs from a GGUF's header, checked once. Leaves to others: reading the file (src/load).

import { EngineError } from "../errors";

/** The tokenizer.ggml.* keys of a GGUF, and its chat template. */
export interface TokenizerMetadata {
  /** "gpt2" (byte-level BPE) or "llama" (SentencePiece); others are refused. */
  readonly model: string;
  readonly pre?: string | undefined;
  readonly tokens: readonly string[];
  readonly tokenTypes?: readonly number[] | undefined;
  readonly merges?: readonly string[] | undefined;
  readonly scores?: readonly number[] | undefined;
  readonly bosId?: number | undefined;
  readonly eosId?: number | undefined;
  /** End of turn (tokenizer.ggml.eot_token_id), where it is not the EOS token. */
  readonly eotId?: number | undefined;
  readonly addBos?: boolean | undefined;
  readonly addSpacePrefix?: boolean | undefined;
  readonly chatTemplate?: string | undefined;
}

/** GGUF's llama_token_type. */
export const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** The type of a token; ordinary if the file has no list of types. */
export function typeOf(metadata: TokenizerMetadata, id: number): number {
  return metadata.tokenTypes?.[id] ?? tokenType.normal;
}

/** Throws unless the lists a tokenizer is built from are there and agree in length. */
export function checkMetadata(metadata: TokenizerMetadata): void {
  const { model, tokens, tokenTypes, merges, scores } = metadata;
  if (model !== "gpt2" && model !== "llama") {
    fail("tokenizer.ggml.model", model, "gpt2 or llama", "Use a GGUF with a byte-level BPE or SentencePiece vocabulary.");
  }
  if (tokens.length === 0) fail("tokenizer.ggml.tokens", 0, "a list of tokens", "Convert the model again, with its tokenizer.");
  if (tokenTypes !== undefined && tokenTypes.length !== tokens.length) {
    fail("tokenizer.ggml.token_type", tokenTypes.length, `${tokens.length} types, one a token`, "The file is damaged: fetch it again.");
  }
  if (model === "gpt2" && merges === undefined) fail("tokenizer.ggml.merges", "nothing", "a list of merges", "Convert the model again, with its tokenizer.");
  if (model === "llama" && scores?.length !== tokens.length) {
    fail("tokenizer.ggml.scores", scores?.length ?? "nothing", `${tokens.length} scores, one a token`, "Convert the model again, with its tokenizer.");
  }
  for (const [key, id] of [
    ["bos", metadata.bosId],
    ["eos", metadata.eosId],
    ["eot", metadata.eotId],
  ] as const) {
    if (id !== undefined && tokens[id] === undefined) {
      fail(`tokenizer.ggml.${key}_token_id`, id, `an id below ${tokens.length}`, "The file is damaged: fetch it again.");
    }
  }
}

function fail(key: string, found: unknown, expected: string, act: string): never {
  throw new EngineError("MISSING_METADATA", `${key} is ${String(found)}, expected ${expected}. ${act}`, { key, found, expected });
}

// tokenizer-metadata: the tokenizer's lists and the chat template, as plain data out of a GGUF's metadata.
// Leaves to others: turning them into a tokenizer (src/text).

import type { TokenizerMetadata } from "./gguf";
import type { Metadata } from "./metadata";

/** Reads the `tokenizer.*` keys. Throws MISSING_METADATA without a vocabulary, or if an id lies outside it. */
export function readTokenizer(metadata: Metadata): TokenizerMetadata {
  const model = metadata.needString("tokenizer.ggml.model");
  const pre = metadata.string("tokenizer.ggml.pre") ?? "default";
  const tokens = metadata.needStrings("tokenizer.ggml.tokens");
  const tokenTypes = metadata.numbers("tokenizer.ggml.token_type") ?? tokens.map(() => 1);
  if (tokenTypes.length !== tokens.length) metadata.reject("tokenizer.ggml.token_type", `${tokens.length} entries, one per token`);
  const merges = metadata.strings("tokenizer.ggml.merges") ?? [];
  if (model === "gpt2" && merges.length === 0) metadata.needStrings("tokenizer.ggml.merges");
  const scores = metadata.numbers("tokenizer.ggml.scores");
  const chatTemplate = metadata.string("tokenizer.chat_template");
  return {
    model,
    pre,
    tokens,
    tokenTypes,
    merges,
    ...(scores ? { scores } : {}),
    ...id("bosId", "bos_token_id"),
    ...id("eosId", "eos_token_id"),
    ...id("eotId", "eot_token_id"),
    ...id("unknownId", "unknown_token_id"),
    ...id("paddingId", "padding_token_id"),
    addBos: metadata.boolean("tokenizer.ggml.add_bos_token") ?? addsBosByDefault(model, pre),
    addEos: metadata.boolean("tokenizer.ggml.add_eos_token") ?? false,
    addSpacePrefix: metadata.boolean("tokenizer.ggml.add_space_prefix") ?? model === "llama",
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
  };

  function id(name: "bosId" | "eosId" | "eotId" | "unknownId" | "paddingId", key: string): Partial<TokenizerMetadata> {
    const value = metadata.count(`tokenizer.ggml.${key}`, 0);
    if (value === undefined) return {};
    if (value >= tokens.length) metadata.reject(`tokenizer.ggml.${key}`, `an id below ${tokens.length}`);
    return { [name]: value };
  }
}

/** llama.cpp's defaults where the key is absent: SentencePiece models and the Llama 3 family start with BOS. */
function addsBosByDefault(model: string, pre: string): boolean {
  return model === "llama" || ["llama3", "llama-v3", "llama-bpe"].includes(pre);
}

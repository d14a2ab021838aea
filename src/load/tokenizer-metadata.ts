// tokenizer-metadata: the tokenizer's lists and the chat template, as plain data out of a GGUF's metadata.
// Leaves to others: checking them against each other and turning them into a tokenizer (src/text).

import type { TokenizerMetadata } from "../text/tokenizer-metadata";
import type { Metadata } from "./metadata";

/** Reads the `tokenizer.*` keys. Throws MISSING_METADATA without a vocabulary; keys that the file lacks are left undefined. */
export function readTokenizer(metadata: Metadata): TokenizerMetadata {
  const key = (name: string): string => `tokenizer.ggml.${name}`;
  return {
    model: metadata.needString(key("model")),
    pre: metadata.string(key("pre")),
    tokens: metadata.needStrings(key("tokens")),
    tokenTypes: metadata.numbers(key("token_type")),
    merges: metadata.strings(key("merges")),
    scores: metadata.numbers(key("scores")),
    bosId: metadata.count(key("bos_token_id"), 0),
    eosId: metadata.count(key("eos_token_id"), 0),
    eotId: metadata.count(key("eot_token_id"), 0),
    addBos: metadata.boolean(key("add_bos_token")),
    addSpacePrefix: metadata.boolean(key("add_space_prefix")),
    chatTemplate: metadata.string("tokenizer.chat_template"),
  };
}

// tokenizer-json: GGUF token lists -> the tokenizer.json form that @huggingface/tokenizers builds from.
// Control tokens stay out of it, so that no text can turn into one: tokenizer.ts cuts them out first where they are to be parsed.

import { findPreTokenizer } from "./pre-tokenizers";
import { type TokenizerMetadata, tokenType, typeOf } from "./tokenizer-metadata";

/** What the library's Tokenizer takes as its first argument. */
export interface TokenizerJson {
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean; readonly normalized: boolean }[];
  readonly normalizer: object | null;
  readonly pre_tokenizer: object | null;
  readonly post_processor: null;
  readonly decoder: null;
  readonly model: object;
}

/** Builds the definition for a checked file. */
export function buildTokenizerJson(metadata: TokenizerMetadata): TokenizerJson {
  const parts = metadata.model === "llama" ? sentencePiece(metadata) : byteLevel(metadata);
  return { added_tokens: userDefinedTokens(metadata), post_processor: null, decoder: null, ...parts };
}

/** The mark SentencePiece puts for a space. */
export const spaceMark = "\u2581";

// Tokens a model's makers added that are not control tokens (Qwen's <tool_call>): always matched whole, in user text too.
function userDefinedTokens(metadata: TokenizerMetadata) {
  return metadata.tokens.flatMap((content, id) =>
    typeOf(metadata, id) === tokenType.userDefined && content !== "" ? [{ id, content, special: false, normalized: false }] : [],
  );
}

function byteLevel(metadata: TokenizerMetadata) {
  const pre = findPreTokenizer(metadata.pre);
  const splits = pre.splits.map((regex) => ({ type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false }));
  const toBytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    normalizer: pre.normalization === "none" ? null : { type: pre.normalization },
    pre_tokenizer: { type: "Sequence", pretokenizers: [...splits, toBytes] },
    model: { type: "BPE", vocab: vocabularyOf(metadata), merges: metadata.merges ?? [], ignore_merges: pre.ignoreMerges },
  };
}

function sentencePiece(metadata: TokenizerMetadata) {
  const vocab = vocabularyOf(metadata);
  const prefix = (metadata.addSpacePrefix ?? true) ? [{ type: "Prepend", prepend: spaceMark }] : [];
  const toMarks = { type: "Replace", pattern: { String: " " }, content: spaceMark };
  // Merging whole texts is slow (4.4 s for 200,000 characters). Cutting before spaces changes nothing if no token has a space after another character.
  const spansWords = Object.keys(vocab).some((token) => token.replace(/^\u2581+/, "").includes(spaceMark));
  const words = { type: "Split", pattern: { Regex: `${spaceMark}*[^${spaceMark}]+|${spaceMark}+` }, behavior: "Isolated", invert: false };
  const unknown = metadata.tokens.find((_, id) => typeOf(metadata, id) === tokenType.unknown) ?? null;
  return {
    normalizer: { type: "Sequence", normalizers: [...prefix, toMarks] },
    pre_tokenizer: spansWords ? null : words,
    model: { type: "BPE", vocab, merges: mergesByScore(vocab, metadata), unk_token: unknown, fuse_unk: true, byte_fallback: true, ignore_merges: false },
  };
}

function vocabularyOf(metadata: TokenizerMetadata): Record<string, number> {
  // SentencePiece names its unknown token for what no token covers; in a byte-level vocabulary everything is covered.
  const hidden: readonly number[] = metadata.model === "llama" ? [tokenType.control] : [tokenType.control, tokenType.unknown];
  return Object.fromEntries(metadata.tokens.flatMap((token, id) => (hidden.includes(typeOf(metadata, id)) ? [] : [[token, id] as const])));
}

// SentencePiece has scores, not merges: it joins the neighbours whose union scores highest. The same as merging all such pairs in order of score.
function mergesByScore(vocab: Record<string, number>, metadata: TokenizerMetadata): [string, string][] {
  const ids = new Map(Object.entries(vocab).filter(([, id]) => typeOf(metadata, id) === tokenType.normal));
  const merges: { readonly pair: [string, string]; readonly score: number }[] = [];
  for (const [token, id] of ids) {
    const score = metadata.scores?.[id] ?? 0;
    for (let cut = 1; cut < token.length; cut++) {
      const left = token.slice(0, cut);
      const right = token.slice(cut);
      if (ids.has(left) && ids.has(right)) merges.push({ pair: [left, right], score });
    }
  }
  return merges.sort((a, b) => b.score - a.score).map(({ pair }) => pair);
}

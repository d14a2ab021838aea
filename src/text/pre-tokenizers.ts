// pre-tokenizers: how each vocabulary cuts text before merging. A GGUF names the cut (tokenizer.ggml.pre) and does not contain it.
// Leaves to others: merging (the library) and ids (tokenizer.ts).

import { EngineError } from "../errors";

/** One named cut. Patterns are Oniguruma's, applied one after the other, each to the pieces of the one before. */
export interface PreTokenizer {
  readonly splits: readonly string[];
  /** Unicode normalization of ordinary text before the cut. */
  readonly normalization: "none" | "NFC";
  /** A piece that is itself in the vocabulary is taken whole, whatever the merges would make of it. */
  readonly ignoreMerges: boolean;
  /** Whether a raw prompt begins with the BOS token when the file does not say (llama.cpp's defaults). */
  readonly addBos: boolean;
}

// From the models' own tokenizer.json files. The library reads \s as Unicode white space, as the Rust original does, and JavaScript's own \s does not.
const gpt2Split = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const wordSplit = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const gpt2: PreTokenizer = { splits: [gpt2Split], normalization: "none", ignoreMerges: false, addBos: false };
// Every numeral alone, then GPT-2's cut. \p{N} as in the original (Rust's is_numeric) and llama.cpp; @huggingface/transformers 4.3.1 for JavaScript
// takes \d and so gives other ids than Python's for numerals outside ASCII after a space ("1 ½").
const smollm: PreTokenizer = { ...gpt2, splits: ["\\p{N}", gpt2Split] };
const llamaBpe: PreTokenizer = { splits: [wordSplit("\\p{N}{1,3}")], normalization: "none", ignoreMerges: true, addBos: true };
const qwen2: PreTokenizer = { splits: [wordSplit("\\p{N}")], normalization: "NFC", ignoreMerges: false, addBos: false };

const known: ReadonlyMap<string, PreTokenizer> = new Map([
  ["default", gpt2],
  ["gpt-2", gpt2],
  ["smollm", smollm],
  ["llama-bpe", llamaBpe],
  ["llama3", llamaBpe],
  ["llama-v3", llamaBpe],
  ["qwen2", qwen2],
  ["deepseek-r1-qwen", qwen2],
]);

/** The cut a GGUF asks for by name. */
export function findPreTokenizer(name: string | undefined): PreTokenizer {
  const found = name === undefined ? undefined : known.get(name);
  if (found !== undefined) return found;
  const expected = [...known.keys()];
  throw new EngineError(
    "MISSING_METADATA",
    `tokenizer.ggml.pre is ${name === undefined ? "missing" : JSON.stringify(name)}, known are ${expected.join(", ")}. Use a GGUF with one of these pre-tokenizers.`,
    { key: "tokenizer.ggml.pre", found: name ?? null, expected },
  );
}

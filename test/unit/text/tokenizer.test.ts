import { readFileSync } from "node:fs";
import { PreTrainedTokenizer } from "@huggingface/transformers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decode } from "../../../src/text/text-stream";
import { Tokenizer, type TokenizerMetadata } from "../../../src/text/tokenizer";
import { pathOf, textModels } from "./fixtures";

const models = await textModels();

describe.each(models)("ids of $name", ({ name, tokenizer, metadata, strings }) => {
  test("equal those of Transformers with special tokens parsed", () => {
    expect(strings.length).toBeGreaterThanOrEqual(300);
    for (const { text, parsed } of strings) expect(tokenizer.encode(text, "parse"), JSON.stringify(text)).toEqual(parsed);
  });

  test("equal those of Transformers with special tokens as plain text", () => {
    expect(strings.filter(({ parsed, plain }) => parsed.length !== plain.length).length).toBeGreaterThan(10);
    for (const { text, plain } of strings) expect(tokenizer.encode(text, "plain"), JSON.stringify(text)).toEqual(plain);
  });

  test("no plain text turns into a special token", () => {
    const names = [...tokenizer.specialTokens.keys()];
    const pieces = fc.array(fc.oneof(fc.constantFrom(...names), fc.string({ unit: "binary" }), fc.constantFrom(" ", "\n", "<|", "|>")), { maxLength: 8 });
    fc.assert(fc.property(pieces, (parts) => !tokenizer.encode(parts.join(""), "plain").some((id) => tokenizer.isSpecial(id))));
  });

  test("decode to the text, unless the vocabulary lacks its bytes", () => {
    const all = new Set(Array.from({ length: tokenizer.size }, (_, id) => tokenizer.bytesOf(id)).flatMap((bytes) => (bytes.length === 1 ? [...bytes] : [])));
    const whole = strings.filter(({ text }) => new TextEncoder().encode(text).every((byte) => all.has(byte)));
    console.log(`${name}: ${all.size} of 256 bytes, ${whole.length} of ${strings.length} strings can be spelled`);
    expect(whole.length).toBeGreaterThan(400);
    for (const { text, plain } of whole) expect(decode(tokenizer, plain)).toBe(text);
  });

  test("special tokens are named, hidden in text, and end an answer", () => {
    expect(tokenizer.specialTokens.get(metadata.tokens[metadata.eosId ?? -1] ?? "")).toBe(metadata.eosId);
    expect(tokenizer.endIds.has(metadata.eosId ?? -1)).toBe(true);
    for (const [special, id] of tokenizer.specialTokens) {
      expect(tokenizer.nameOf(id)).toBe(special);
      expect(tokenizer.bytesOf(id).length).toBe(0);
      expect(tokenizer.encode(special, "parse")).toEqual([id]);
    }
  });
});

describe("the bundled model", () => {
  const { tokenizer, metadata, strings } = models[0] ?? fail();

  const readJson = (file: string) => JSON.parse(readFileSync(pathOf(`models/tiny/${file}`), "utf8"));
  const theirs = new PreTrainedTokenizer(readJson("tokenizer.json"), readJson("tokenizer_config.json"));
  const encodeTheirs = (text: string): unknown => theirs.encode(text, { add_special_tokens: false });

  test("ids equal those of @huggingface/transformers built from tokenizer.json", () => {
    for (const { text } of strings) expect(tokenizer.encode(text, "parse"), JSON.stringify(text)).toEqual(encodeTheirs(text));
  });

  // Its tokenizer.json does not ignore merges, llama-bpe does. The same thing, because merging rebuilds every token from its text.
  test("every token's text is that token, by merges and without", () => {
    let numTokens = 0;
    for (let id = 0; id < tokenizer.size; id++) {
      const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(tokenizer.bytesOf(id));
      if (text === "" || text.includes("\ufffd")) continue;
      expect(encodeTheirs(text), text).toEqual([id]);
      expect(tokenizer.encode(text, "plain"), text).toEqual([id]);
      numTokens++;
    }
    expect(numTokens).toBeGreaterThan(2_900);
  });

  test("a raw prompt begins with BOS exactly once, if the model wants one", () => {
    const wanting = new Tokenizer({ ...metadata, addBos: true });
    expect(wanting.encodePrompt("Hello")).toEqual([0, ...tokenizer.encode("Hello", "parse")]);
    expect(wanting.encodePrompt("<|bos|>Hello")).toEqual(wanting.encodePrompt("Hello"));
    expect(tokenizer.encodePrompt("Hello")).toEqual(tokenizer.encode("Hello", "parse"));
    expect(new Tokenizer({ ...metadata, addBos: undefined }).encodePrompt("Hello")[0]).toBe(0);
  });

  test.each([
    ["pre", { pre: "no-such-cut" }, /no-such-cut.*llama-bpe/],
    ["pre", { pre: undefined }, /missing.*llama-bpe/],
    ["model", { model: "bert" }, /bert.*gpt2 or llama/],
    ["tokens", { tokens: [] }, /list of tokens/],
    ["token_type", { tokenTypes: [1, 1] }, /is 2, expected 3072/],
    ["merges", { merges: undefined }, /merges/],
    ["eos_token_id", { eosId: 3072 }, /3072, expected an id below 3072/],
    ["scores", { model: "llama" }, /scores/],
  ] as [string, Partial<TokenizerMetadata>, RegExp][])("a bad %s is refused", (key, change, message) => {
    const error = caught(() => new Tokenizer({ ...metadata, ...change }));
    expect(error).toMatchObject({ code: "MISSING_METADATA", details: { key: `tokenizer.ggml.${key}` } });
    expect((error as Error).message).toMatch(message);
  });

  test("an id outside the vocabulary is refused", () => {
    expect(caught(() => decode(tokenizer, [5, 3072]))).toMatchObject({ code: "BAD_OPTION", details: { found: 3072 } });
  });
});

function caught(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}

function fail(): never {
  throw new Error("the bundled model is missing");
}

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decode } from "../../../src/text/text-stream";
import { Tokenizer, type TokenizerMetadata } from "../../../src/text/tokenizer";
import { tokenType } from "../../../src/text/tokenizer-metadata";

const { normal, unknown, control, userDefined, byte } = tokenType;

// A small vocabulary with what makes SentencePiece hard: competing unions, runs of spaces, bytes, a control and a user-defined token.
const unions = [
  "he",
  "ll",
  "hell",
  "llo",
  "lo",
  "▁h",
  "▁he",
  "▁hell",
  "▁hello",
  "or",
  "wor",
  "▁w",
  "▁wor",
  "ld",
  "▁world",
  "▁▁",
  "▁▁▁▁",
  "el",
  "▁l",
  "rl",
  "▁a",
  "an",
  "▁an",
  "é",
  "世界",
];
const letters = [..."▁helowrdan.!世界"];
const entries: [string, number][] = [
  ["<unk>", unknown],
  ["<s>", control],
  ["</s>", control],
  ...Array.from({ length: 256 }, (_, i): [string, number] => [`<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`, byte]),
  ...[...unions, ...letters].map((piece): [string, number] => [piece, normal]),
  ["[tool]", userDefined],
];
const metadata: TokenizerMetadata = {
  model: "llama",
  tokens: entries.map(([token]) => token),
  tokenTypes: entries.map(([, type]) => type),
  scores: entries.map(([, type], id) => (type === normal ? 259 - id : 0)),
  bosId: 1,
  eosId: 2,
};
const texts = fc
  .array(fc.constantFrom("hello", " ", "  ", "world", "hell", "lo", "an", "a", ".", "é", "世界", "界", "😀", "\n", "<s>", "orld"), { maxLength: 12 })
  .map((parts) => parts.join(""));

describe("SentencePiece", () => {
  const tokenizer = new Tokenizer(metadata);

  test("ids equal those of the published algorithm", () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(tokenizer.encode(text, "plain")).toEqual(mergeByScore(text));
      }),
    );
  });

  test("cutting before spaces changes nothing: a token that spans words turns it off", () => {
    const spanning = {
      ...metadata,
      tokens: [...metadata.tokens, "o▁"],
      tokenTypes: [...(metadata.tokenTypes ?? []), normal],
      scores: [...(metadata.scores ?? []), 1_000],
    };
    const id = spanning.tokens.length - 1;
    expect(new Tokenizer(spanning).encode("hello world", "plain")).toContain(id);
  });

  test("control tokens are parsed or plain, user-defined ones always whole", () => {
    expect(tokenizer.encode("<s>hello[tool]</s>", "parse")).toEqual([1, idOf("▁hello"), idOf("[tool]"), 2]);
    expect(tokenizer.encode("<s>", "plain")).not.toContain(1);
    expect(tokenizer.encodePrompt("hello")).toEqual([1, idOf("▁hello")]);
  });

  test("decodes to the text after the prefix space", () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(decode(tokenizer, tokenizer.encode(text, "plain"))).toBe(text === "" ? "" : ` ${text}`);
      }),
    );
  });

  test("without a prefix space if the file says so", () => {
    const bare = new Tokenizer({ ...metadata, addSpacePrefix: false });
    expect(decode(bare, bare.encode("hello  world", "plain"))).toBe("hello  world");
  });
});

function idOf(piece: string): number {
  return metadata.tokens.indexOf(piece);
}

/** SentencePiece as published: join the neighbours whose union scores highest, leftmost first, until none is in the vocabulary; bytes for the rest. */
function mergeByScore(text: string): number[] {
  const symbols = text === "" ? [] : [...`▁${text.replaceAll(" ", "▁")}`];
  for (;;) {
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const id = idOf(`${symbols[i]}${symbols[i + 1]}`);
      const score = id < 0 ? Number.NEGATIVE_INFINITY : (metadata.scores?.[id] ?? 0);
      if (score > bestScore) [best, bestScore] = [i, score];
    }
    if (best < 0) break;
    symbols.splice(best, 2, `${symbols[best]}${symbols[best + 1]}`);
  }
  return symbols.flatMap((symbol) => (idOf(symbol) >= 0 ? [idOf(symbol)] : Array.from(new TextEncoder().encode(symbol), (value) => 3 + value)));
}

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decode, detokenize, TextStream } from "../../../src/text/text-stream";
import { openTextModel } from "./fixtures";

const { tokenizer, strings } = await openTextModel("tiny");
const anyIds = fc.array(fc.nat({ max: tokenizer.size - 1 }), { maxLength: 40 });
// Ids of single bytes mostly: sequences that are no UTF-8 at all.
const byteIds = fc.array(fc.integer({ min: 4, max: 259 }), { maxLength: 24 });

describe("TextStream", () => {
  test("pieces join to the whole text, however the ids are cut", () => {
    fc.assert(
      fc.property(fc.oneof(anyIds, byteIds), fc.array(fc.nat({ max: 5 })), (ids, cuts) => {
        const stream = new TextStream(tokenizer);
        const pieces = chunks(ids, cuts).map((chunk) => stream.push(chunk));
        expect(pieces.join("") + stream.flush()).toBe(wholeText(ids));
      }),
    );
  });

  test("never emits half a character", () => {
    for (const { text, plain } of strings) {
      const stream = new TextStream(tokenizer);
      const pieces = plain.map((id) => stream.push([id]));
      expect(stream.flush()).toBe("");
      expect(pieces.join("")).toBe(text);
      for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
      if (!text.includes("\ufffd")) expect(pieces.some((piece) => piece.includes("\ufffd"))).toBe(false);
    }
  });

  test("an emoji comes out with its last byte; an unfinished one becomes U+FFFD at the end", () => {
    const ids = tokenizer.encode("🫠", "plain");
    expect(ids.length).toBeGreaterThan(1);
    const stream = new TextStream(tokenizer);
    expect(stream.push(ids.slice(0, -1))).toBe("");
    expect(stream.push(ids.slice(-1))).toBe("🫠");
    expect(stream.push(ids.slice(0, -1))).toBe("");
    expect(stream.flush()).toBe("\ufffd");
    expect(stream.push(tokenizer.encode("after", "plain"))).toBe("after");
  });

  test("special tokens are not text, even between the bytes of a character", () => {
    const [first, ...rest] = tokenizer.encode("🫠", "plain");
    const end = tokenizer.eosId ?? -1;
    expect(decode(tokenizer, [end, first ?? -1, end, ...rest, end])).toBe("🫠");
  });
});

describe("detokenize", () => {
  test("one piece per id, joined the whole text", () => {
    fc.assert(
      fc.property(fc.oneof(anyIds, byteIds), (ids) => {
        const pieces = detokenize(tokenizer, ids);
        expect(pieces.length).toBe(ids.length);
        expect(pieces.join("")).toBe(wholeText(ids));
      }),
    );
  });
});

/** All bytes decoded at once: what streaming must add up to. */
function wholeText(ids: readonly number[]): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(ids.flatMap((id) => [...tokenizer.bytesOf(id)])));
}

function chunks(ids: readonly number[], sizes: readonly number[]): number[][] {
  const cut: number[][] = [];
  let start = 0;
  for (const size of sizes) {
    cut.push(ids.slice(start, start + size));
    start += size;
  }
  return [...cut, ids.slice(start)];
}

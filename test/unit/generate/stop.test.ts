import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StopSplitter } from "../../../src/generate/stop";

// Two letters and short stops, so that stops overlap, contain each other and almost match all the time.
const texts = fc.string({ unit: fc.constantFrom("a", "b", "😀"), maxLength: 30 });
const stopLists = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "😀"), minLength: 1, maxLength: 4 }), { maxLength: 4 });

describe("StopSplitter", () => {
  test("equals a naive search, however the text is cut", () => {
    fc.assert(
      fc.property(texts, stopLists, fc.array(fc.nat({ max: 4 }), { maxLength: 30 }), (text, stops, sizes) => {
        expect(run(stops, cut(text, sizes))).toEqual(naive(text, stops));
      }),
      { numRuns: 2_000 },
    );
  });

  test("holds back no more than the start of a stop string", () => {
    fc.assert(
      fc.property(texts, stopLists, (text, stops) => {
        const splitter = new StopSplitter(stops);
        let shown = "";
        for (const [i, character] of text.split("").entries()) {
          shown += splitter.push(character).text;
          if (splitter.ended) return;
          const held = text.slice(shown.length, i + 1);
          expect(held === "" || stops.some((stop) => stop.startsWith(held) && stop !== held)).toBe(true);
        }
      }),
    );
  });

  test("without stop strings everything passes at once", () => {
    const splitter = new StopSplitter([]);
    expect(splitter.push("any text")).toEqual({ text: "any text" });
    expect(splitter.flush()).toBe("");
  });

  test("the one complete first wins, of two complete together the longer", () => {
    expect(run(["bcd", "c"], ["abcd"])).toEqual({ text: "ab", matched: "c" });
    expect(run(["c", "bc"], ["abcd"])).toEqual({ text: "a", matched: "bc" });
  });

  test("a stop string that never completes is text", () => {
    expect(run(["\n\nUser:"], ["Yes.\n", "\nUse", "ful"])).toEqual({ text: "Yes.\n\nUseful" });
    expect(run(["\n\nUser:"], ["Yes.\n", "\nUser"])).toEqual({ text: "Yes.\n\nUser" });
  });

  test("an empty stop string is refused by its place", () => {
    expect(() => new StopSplitter(["a", ""])).toThrow(expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field: "stop[1]" }) }));
  });
});

function run(stops: readonly string[], pieces: readonly string[]): { text: string; matched?: string } {
  const splitter = new StopSplitter(stops);
  let text = "";
  for (const piece of pieces) {
    const result = splitter.push(piece);
    text += result.text;
    if (result.matched !== undefined) return { text, matched: result.matched };
  }
  return { text: text + splitter.flush() };
}

/** Grows the text character by character until it ends in a stop string. */
function naive(text: string, stops: readonly string[]): { text: string; matched?: string } {
  const longestFirst = [...stops].sort((a, b) => b.length - a.length);
  for (let end = 1; end <= text.length; end++) {
    const matched = longestFirst.find((stop) => text.slice(0, end).endsWith(stop));
    if (matched !== undefined) return { text: text.slice(0, end - matched.length), matched };
  }
  return { text };
}

function cut(text: string, sizes: readonly number[]): string[] {
  const pieces: string[] = [];
  let start = 0;
  for (const size of sizes) {
    pieces.push(text.slice(start, start + size));
    start += size;
  }
  return [...pieces, text.slice(start)];
}

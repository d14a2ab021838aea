// fake-maker: a tokenizer of words and marks that can be read back, for the tests of samples; and texts short enough to look through.

import type { Sample, SampleMaker } from "../../eval/samples";
import { readTexts } from "../../eval/texts";
import { type WordingName, wording } from "../../eval/wording";

export interface FakeMaker extends SampleMaker {
  read(ids: readonly number[]): string;
  /** What must be answered. */
  values(sample: Sample): string[];
}

export function fakeMaker(name: WordingName): FakeMaker {
  const words: string[] = [];
  const known = new Map<string, number>();
  const id = (word: string): number => {
    if (!known.has(word)) known.set(word, words.push(word) - 1);
    return known.get(word) ?? -1;
  };
  const bos = id("<s>");
  const read = (ids: readonly number[]): string => ids.map((at) => words[at]).join("");
  return {
    encode: async (text) => (text.match(/<\|\w+\|>|\n| ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]| /g) ?? []).map(id),
    lead: name === "plain" ? [bos] : [],
    wording: wording(name),
    texts: readTexts(),
    read,
    values: ({ ids, values }) => values.map(([start, end]) => read(ids.slice(start, end))),
  };
}

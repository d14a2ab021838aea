// wording: how facts are stated and asked for. The tiny model knows only the form of its training (models/tiny/train/tasks.py);
// every other model is asked in plain English, and the answer is begun for it, so that what it has to say is the value alone.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { catalog } from "../../models/catalog";
import { root } from "../../scripts/machine.mjs";
import type { Random } from "./random";

export type WordingName = "tiny" | "plain";

/** What is asked after the prompt; `value` parts are what must be answered, the others are given. */
export interface Turn {
  readonly question: string;
  readonly answer: readonly { readonly text: string; readonly value: boolean }[];
}

/** Something hidden in a text: how it is said there, and how it is asked for. */
export interface Fact {
  readonly statement: string;
  readonly turn: Turn;
}

export interface Wording {
  readonly name: WordingName;
  /** In front of the text; special tokens are parsed. */
  readonly lead: string;
  /** Before every question but the first. */
  readonly again: string;
  key(name: string, value: string): Fact;
  /** A sentence unlike the others: a needle. */
  needle(random: Random): Fact;
  /** Pairs of a list that is all there is. */
  pair(name: string, value: string): Fact;
}

export function wordingFor(sha256: string): WordingName {
  return catalog.find(({ name }) => name === "tiny")?.sha256 === sha256 ? "tiny" : "plain";
}

export function wording(name: WordingName): Wording {
  return name === "tiny" ? TINY : PLAIN;
}

/** A name for a fact to be about: "amber lion". */
export function nameOf(random: Random): string {
  return `${random.pick(WORDS.ADJECTIVES)} ${random.pick(WORDS.NOUNS)}`;
}

export function keyOf(random: Random): string {
  return random.digits(6);
}

const WORDS = readWords();

/** The whole sentence is the answer, and that it ends there. */
function tinyFact(statement: string, question: string): Fact {
  return { statement, turn: { question: `${question}<|assistant|>`, answer: [{ text: `${statement}<|end|>`, value: true }] } };
}

const tinyKey = (name: string, value: string): Fact => tinyFact(`The pass key for the ${name} is ${value}.`, `What is the pass key for the ${name}?`);

const TINY: Wording = {
  name: "tiny",
  lead: "<|bos|><|user|>",
  again: "<|user|>",
  key: tinyKey,
  needle(random) {
    const name = nameOf(random);
    return tinyFact(`The colour of the ${name} is ${random.pick(WORDS.COLOURS)}.`, `What is the colour of the ${name}?`);
  },
  pair: tinyKey,
};

/** @param begun the statement up to its value */
function plainFact(begun: string, value: string, question: string): Fact {
  const answer = [
    { text: ` ${value}`, value: true },
    { text: ".", value: false },
  ];
  return { statement: `${begun} ${value}.`, turn: { question: `\n\nQuestion: ${question}\nAnswer: ${begun}`, answer } };
}

const PLAIN: Wording = {
  name: "plain",
  lead: "",
  again: "",
  key: (name, value) => plainFact(`The pass key for the ${name} is`, value, `What is the pass key for the ${name}?`),
  needle(random) {
    const name = nameOf(random);
    return plainFact(`The ${name} is hidden in the`, nameOf(random), `Where is the ${name} hidden?`);
  },
  pair: (name, value) => ({
    statement: `"${name}": "${value}",`,
    turn: {
      question: `\n\nThe value of a key in the list above.\nKey: "${name}"\nValue: "`,
      answer: [
        { text: value, value: true },
        { text: '"', value: false },
      ],
    },
  }),
};

/** The names and colours of the tiny model's training, read from the list it was trained with. */
function readWords(): Readonly<Record<"ADJECTIVES" | "NOUNS" | "COLOURS", readonly string[]>> {
  const source = readFileSync(join(root, "models/tiny/train/words.py"), "utf8");
  const list = (name: string): string[] => {
    const words = new RegExp(`^${name} = """([^"]+)"""`, "m").exec(source)?.[1]?.trim().split(/\s+/);
    if (!words) throw new Error(`models/tiny/train/words.py holds no ${name}`);
    return words;
  };
  return { ADJECTIVES: list("ADJECTIVES"), NOUNS: list("NOUNS"), COLOURS: list("COLOURS") };
}

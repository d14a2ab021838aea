// texts: the prose that samples are made of, from texts/; texts/README.md says what they are.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/machine.mjs";

export interface Text {
  readonly name: string;
  readonly paragraphs: readonly string[];
}

/** All texts, speeches and chapters in turn, so that two samples are never of one kind alone. */
export function readTexts(folder = join(root, "test/eval/texts")): readonly Text[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith(".txt"))
    .sort();
  const texts = names.map((name) => ({ name: name.slice(0, -4), paragraphs: readFileSync(join(folder, name), "utf8").trimEnd().split("\n") }));
  const chapters = texts.filter(({ name }) => name.startsWith("persuasion"));
  const others = texts.filter((text) => !chapters.includes(text));
  return others.flatMap((text, turn) => [chapters[turn] ?? [], text].flat());
}

/** A text's sentences of a middling length, as the tiny model's training cuts them (models/tiny/train/tasks.py). */
export function sentencesOf({ paragraphs }: Text): string[] {
  return paragraphs.flatMap((paragraph) => paragraph.split(/(?<=[.!?;])\s+/)).filter((part) => part.length > 15 && part.length < 260);
}

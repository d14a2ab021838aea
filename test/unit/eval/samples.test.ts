// samples: the tasks as texts: what is hidden is there once, what is asked is the last thing said, lengths hold to the token, seeds repeat.

import { describe, expect, test } from "vitest";
import { FORCED, makeSample, type SampleRequest, TASKS } from "../../eval/samples";
import { readTexts, sentencesOf } from "../../eval/texts";
import { wordingFor } from "../../eval/wording";
import { fakeMaker } from "./fake-maker";

const BASE: SampleRequest = { task: "multikey", kind: "facts", length: 400, hidden: true, seed: 1, index: 0, count: 4 };

function count(text: string, part: string): number {
  return text.split(part).length - 1;
}

describe.each(["tiny", "plain"] as const)("worded for %s", (name) => {
  test("the same request gives the same sample, another seed or index another one", async () => {
    for (const task of TASKS) {
      const one = await makeSample(fakeMaker(name), { ...BASE, task });
      expect(await makeSample(fakeMaker(name), { ...BASE, task })).toEqual(one);
      for (const change of [{ seed: 2 }, { index: 1 }]) {
        const [again, other] = [fakeMaker(name), fakeMaker(name)];
        const text = again.read((await makeSample(again, { ...BASE, task })).ids);
        expect(other.read((await makeSample(other, { ...BASE, task, ...change })).ids)).not.toBe(text);
      }
    }
  });

  test.each(["passkey", "multikey", "kv-retrieval", "niah"] as const)(
    "%s: one value, said once in the prompt and once as the answer, within the length",
    async (task) => {
      for (let index = 0; index < 4; index++) {
        const maker = fakeMaker(name);
        const sample = await makeSample(maker, { ...BASE, task, index });
        const [prompt, rest] = [maker.read(sample.ids.slice(0, sample.from)), maker.read(sample.ids.slice(sample.from))];
        const values = maker.values(sample);
        expect(values).toHaveLength(1);
        const value = (values[0] ?? "").replace("<|end|>", "").trim();
        expect(count(prompt, value), value).toBe(1);
        expect(count(rest, value)).toBe(1);
        expect(sample.ids.length).toBeLessThanOrEqual(400);
        expect(sample.ids.length).toBeGreaterThan(320); // a sentence of the fake tokenizer is at most some 60 tokens
        expect(sample.compare).toBe("values");
        expect(rest).toMatch(name === "tiny" ? /^What is the [^?]*\?<\|assistant\|>/ : /^\n\n/);
        expect(prompt.startsWith(name === "tiny" ? "<|bos|><|user|>" : "<s>")).toBe(true);
      }
    },
  );

  test("visible: the question belongs to what is compressed, the answer does not", async () => {
    const hidden = await makeSample(fakeMaker(name), BASE);
    const visible = await makeSample(fakeMaker(name), { ...BASE, hidden: false });
    expect(visible.ids).toEqual(hidden.ids);
    expect(visible.values).toEqual(hidden.values);
    expect(visible.from).toBe(visible.values[0]?.[0]);
    expect(hidden.from).toBeLessThan(visible.from);
  });

  test("multikey hides six keys, passkey one", async () => {
    for (const [task, keys] of [
      ["multikey", 6],
      ["passkey", 1],
    ] as const) {
      const maker = fakeMaker(name);
      const { ids, from } = await makeSample(maker, { ...BASE, task });
      expect(count(maker.read(ids.slice(0, from)), "The pass key for the")).toBe(keys);
    }
  });

  test("niah: the needle lies deeper from sample to sample", async () => {
    const depths: number[] = [];
    for (let index = 0; index < 4; index++) {
      const maker = fakeMaker(name);
      const { ids, from } = await makeSample(maker, { ...BASE, task: "niah", index });
      const prompt = maker.read(ids.slice(0, from));
      depths.push(prompt.search(name === "tiny" ? /The colour of the/ : / is hidden in the /) / prompt.length);
    }
    for (const [index, depth] of depths.entries()) expect(Math.abs(depth - (index + 0.5) / 4)).toBeLessThan(0.13);
  });

  test("forced facts: the length to the token, 192 more, questions about four keys in turn, every value asked stands in the prompt", async () => {
    const maker = fakeMaker(name);
    const sample = await makeSample(maker, { ...BASE, task: "forced" });
    expect([sample.from, sample.ids.length]).toEqual([400, 400 + FORCED]);
    const prompt = maker.read(sample.ids.slice(0, 400));
    expect(count(prompt, "The pass key for the")).toBe(4);
    const values = maker.values(sample).map((value) => /\d{6}/.exec(value)?.[0] ?? "none");
    expect(new Set(values.slice(0, 4)).size).toBe(4);
    for (const value of values) expect(count(prompt, value)).toBe(1);
    expect(sample.compare).toBe("all");
  });

  test("forced prose: a stretch of one text, to the token, no answers in it", async () => {
    const maker = fakeMaker(name);
    const sample = await makeSample(maker, { ...BASE, task: "forced", kind: "prose", index: 2 });
    expect([sample.from, sample.ids.length, sample.values]).toEqual([400, 400 + FORCED, []]);
    const whole = maker.texts.find((text) => sample.name.includes(text.name))?.paragraphs.join(" ");
    expect(whole).toContain(maker.read(sample.ids).replace("<s>", "").trim());
  });

  test("a length without room is refused, with the way out", async () => {
    await expect(makeSample(fakeMaker(name), { ...BASE, length: 40 })).rejects.toMatchObject({
      code: "BAD_OPTION",
      message: expect.stringContaining("longer --length"),
    });
    await expect(makeSample(fakeMaker(name), { ...BASE, task: "forced", kind: "prose", length: 100_000 })).rejects.toMatchObject({
      code: "BAD_OPTION",
      message: expect.stringContaining("shorter --length"),
    });
  });
});

test("vt: a chain of four names in the order of the text, all of them asked for", async () => {
  const maker = fakeMaker("plain");
  const sample = await makeSample(maker, { ...BASE, task: "vt" });
  const prompt = maker.read(sample.ids.slice(0, sample.from));
  const names = maker.values(sample).map((value) => value.trim());
  expect(names).toHaveLength(4);
  const said = names.map((name, turn) => prompt.indexOf(turn === 0 ? `VAR ${name} = ` : `VAR ${name} = VAR ${names[turn - 1]}.`));
  expect(said.every((at, turn) => at > (said[turn - 1] ?? -1))).toBe(true);
  const value = /VAR \w+ = (\d{5})\./.exec(prompt)?.[1];
  expect(maker.read(sample.ids.slice(sample.from))).toContain(`assigned the value ${value} in the text`);
});

test("vt for the tiny model: four names with one key, each asked in a turn of its own", async () => {
  const maker = fakeMaker("tiny");
  const sample = await makeSample(maker, { ...BASE, task: "vt" });
  expect(new Set(maker.values(sample).map((value) => /\d{6}/.exec(value)?.[0])).size).toBe(1);
  expect(sample.values).toHaveLength(4);
  expect(count(maker.read(sample.ids.slice(sample.from)), "<|end|><|user|>What is the pass key")).toBe(3);
});

test("the tiny model is known by its file's hash", async () => {
  const { catalog } = await import("../../../models/catalog");
  expect(wordingFor(catalog.find(({ name }) => name === "tiny")?.sha256 ?? "")).toBe("tiny");
  expect(wordingFor("0".repeat(64))).toBe("plain");
});

test("texts: chapters and addresses in turn, sentences of a middling length", () => {
  const texts = readTexts();
  expect(texts.map(({ name }) => name.replace(/-.*/, ""))).toEqual(["persuasion", "address", "persuasion", "address", "address", "address"]);
  for (const text of texts) {
    expect(sentencesOf(text).length).toBeGreaterThan(100);
    expect(sentencesOf(text).every((line) => line.length > 15 && line.length < 260)).toBe(true);
  }
});

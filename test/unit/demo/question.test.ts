// question: where a prompt is cut when its last sentence comes in after compression.

import { expect, test } from "vitest";
import { beforeLastSentence, questionStart } from "../../../demo/state/question";
import type { Prompt } from "../../../src/engine-types";

test("the last sentence goes, and the blanks before it; a text of one sentence stays whole", () => {
  expect(beforeLastSentence("One. Two! What is three? ")).toBe("One. Two!");
  expect(beforeLastSentence("A list\n\nWhat is it?\n")).toBe("A list");
  expect(beforeLastSentence("“He said so.” Who?")).toBe("“He said so.”");
  expect(beforeLastSentence("The pass key is 1.5 or so")).toBeUndefined();
  expect(beforeLastSentence("Only one sentence.")).toBeUndefined();
  expect(beforeLastSentence("")).toBeUndefined();
});

/** One id a character; messages stand between marks, as a chat template has it. */
const engine = {
  tokenize: async (prompt: Prompt): Promise<number[]> => {
    if ("ids" in prompt) return [...prompt.ids];
    const text = "text" in prompt ? prompt.text : `<${prompt.messages.map(({ content }) => content).join("><")}>`;
    return [...text].map((character) => character.charCodeAt(0));
  },
};

test("the question starts where the ids leave those of the text alone", async () => {
  expect(await questionStart(engine, { text: "One. Two?" })).toBe(4);
  // "<One.>" against "<One. Two?>": the first five are common
  expect(await questionStart(engine, { messages: [{ role: "user", content: "One. Two?" }] })).toBe(5);
  const messages = [
    { role: "system" as const, content: "Be short. Be kind." },
    { role: "user" as const, content: "One. Two?" },
  ];
  expect(await questionStart(engine, { messages })).toBe("<Be short. Be kind.><One.".length);
});

test("without a second sentence, or of ids, nothing is cut", async () => {
  expect(await questionStart(engine, { text: "One" })).toBeUndefined();
  expect(await questionStart(engine, { messages: [{ role: "user", content: "Who?" }] })).toBeUndefined();
  expect(await questionStart(engine, { ids: [1, 2, 3] })).toBeUndefined();
});

// question: where the last sentence of a prompt begins, in its text and in its tokens. What stands before can be compressed before anyone knows what
// will be asked.

import type { Engine, Prompt } from "../../src/engine-types";

/** The text without its last sentence and the blanks before that; undefined where there is no second sentence. */
export function beforeLastSentence(text: string): string | undefined {
  const ends = [...text.trimEnd().matchAll(/[.!?;:]["”’)]*\s+|\n+/g)];
  const last = ends.at(-1);
  const before = last && text.slice(0, last.index + last[0].length).trimEnd();
  return before || undefined;
}

/**
 * Index of the first token that a prompt has not in common with itself less its last sentence: tokens before it are those of the text alone. Undefined where
 * there is no second sentence. Throws what tokenize() throws.
 */
export async function questionStart(engine: Pick<Engine, "tokenize">, prompt: Prompt): Promise<number | undefined> {
  const shorter = withoutQuestion(prompt);
  if (!shorter) return undefined;
  const [whole, body] = await Promise.all([engine.tokenize(prompt), engine.tokenize(shorter)]);
  const first = whole.findIndex((id, i) => id !== body[i]);
  return first > 0 ? first : undefined;
}

function withoutQuestion(prompt: Prompt): Prompt | undefined {
  if ("ids" in prompt) return undefined;
  const body = beforeLastSentence("text" in prompt ? prompt.text : (prompt.messages.at(-1)?.content ?? ""));
  if (body === undefined) return undefined;
  if ("text" in prompt) return { text: body };
  return { messages: prompt.messages.map((message, i) => (i === prompt.messages.length - 1 ? { ...message, content: body } : message)) };
}

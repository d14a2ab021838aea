// texts: the calibration's document and its continuations as ids of a model: as a conversation where the model has a chat template,
// else as plain text. Leaves to others: the words (models/calibrations/text.ts), templates and tokenizers (src/text).

import { type ContinuationText, DOCUMENT, FIRST, SECOND } from "../../models/calibrations/text";
import type { ChatMessage } from "../engine-types";
import { EngineError } from "../errors";
import type { Runtime } from "../generate/runtime";

/** Ids of the document, which is compressed, and of what follows it in two ways. */
export interface CalibrationIds {
  readonly document: readonly number[];
  readonly first: readonly number[];
  readonly second: readonly number[];
}

/** The bundled text in a model's ids. Throws CONTEXT_FULL where the model is made for less than it takes. */
export function calibrationIds(runtime: Runtime): CalibrationIds {
  const [first, second] = [encode(runtime, FIRST), encode(runtime, SECOND)];
  let shared = 0;
  while (first[shared] === second[shared]) shared++;
  const longest = Math.max(first.length, second.length);
  if (longest > runtime.context)
    throw new EngineError(
      "CONTEXT_FULL",
      `The calibration text has ${longest} tokens for this model, ${runtime.context} positions are prepared. Load with a context of at least ${longest}.`,
      { found: runtime.context, expected: longest },
    );
  return { document: first.slice(0, shared), first: first.slice(shared), second: second.slice(shared) };
}

function encode(runtime: Runtime, { prose, lookups }: ContinuationText): number[] {
  const messages: ChatMessage[] = lookups.flatMap(({ question, answer }, index) => [
    { role: "user" as const, content: index === 0 ? `${DOCUMENT}${prose} ${question}` : question },
    { role: "assistant" as const, content: answer },
  ]);
  const template = templateOf(runtime);
  if (template) return template.encode(messages, { addGenerationPrompt: false });
  return runtime.tokenizer.encodePrompt(`${DOCUMENT}${prose}${lookups.map(({ question, answer }) => `\n\nQuestion: ${question}\nAnswer: ${answer}`).join("")}`);
}

/** A model without a template, or with one that refuses such a conversation, reads plain text. */
function templateOf(runtime: Runtime): ReturnType<Runtime["template"]> | undefined {
  try {
    const template = runtime.template();
    template.render([
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      { role: "user", content: "c" },
    ]);
    return template;
  } catch {
    return undefined;
  }
}

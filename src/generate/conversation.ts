// conversation: what has been said in a session, as ids, and how the next turn's prompt continues it. Knows nothing of caches.

import type { ChatMessage, SendRequest } from "../engine-types";
import { EngineError } from "../errors";
import { detokenize } from "../text/text-stream";
import { checkIds, promptIds, type Runtime } from "./runtime";

/** The ids of a turn's prompt, and the chat's messages with it, if it came as messages. */
export interface TurnPrompt {
  readonly ids: number[];
  readonly messages?: readonly ChatMessage[];
}

export class Conversation {
  /** Every token, prompts and answers: the first ones stand in the cache, the others come in with the next turn. */
  readonly ids: number[] = [];
  #messages: readonly ChatMessage[] = []; // up to the last prompt that came as messages
  #answerFrom = 0; // what stands behind them counts as the assistant's answer

  constructor(private readonly runtime: Runtime) {}

  copy(): Conversation {
    const copy = new Conversation(this.runtime);
    copy.ids.push(...this.ids);
    copy.#messages = this.#messages;
    copy.#answerFrom = this.#answerFrom;
    return copy;
  }

  /**
   * Text and ids are appended as they are; of a model that wants a BOS token, the first turn gets one. Messages are appended as the chat template
   * renders them behind what was said: what ends the assistant's answer, where the model has not ended it itself, then the new messages and the
   * opening of the next answer.
   */
  encode(prompt: SendRequest["prompt"]): TurnPrompt {
    const { tokenizer } = this.runtime;
    const given = typeof prompt === "string" ? { text: prompt } : prompt;
    if (this.ids.length === 0 || typeof given !== "object" || given === null || "ids" in given) return this.#turn(promptIds(this.runtime, given), given);
    if ("messages" in given && Array.isArray(given.messages)) return this.#turn(this.#continue(given.messages), given);
    if ("text" in given && typeof given.text === "string") return this.#turn(tokenizer.encode(given.text, "parse"), given);
    return this.#turn(promptIds(this.runtime, given), given);
  }

  /** The prompt is in the cache, all of it. */
  taken({ messages }: TurnPrompt): void {
    if (!messages) return;
    this.#messages = messages;
    this.#answerFrom = this.ids.length;
  }

  #turn(ids: number[], given: unknown): TurnPrompt {
    checkIds(this.runtime, ids);
    if (typeof given !== "object" || given === null || !("messages" in given)) return { ids };
    const messages = given.messages as readonly ChatMessage[];
    return { ids, messages: this.#messages.length === 0 ? messages : [...this.#messages, this.#answer(), ...messages] };
  }

  #continue(messages: readonly ChatMessage[]): number[] {
    const { tokenizer } = this.runtime;
    const template = this.runtime.template();
    if (this.#messages.length > 0) return template.encodeAfter(this.#messages, messages, this.ids.at(-1));
    const ids = template.encode(messages); // behind plain text: as a chat of its own
    return ids[0] === tokenizer.bosId && this.ids[0] === ids[0] ? ids.slice(1) : ids;
  }

  #answer(): ChatMessage {
    return { role: "assistant", content: detokenize(this.runtime.tokenizer, this.ids.slice(this.#answerFrom)).join("") };
  }
}

/** Throws CONTEXT_FULL where a prompt and one token of an answer do not fit behind `used` tokens. */
export function checkRoom(used: number, prompt: number, capacity: number): void {
  if (used + prompt < capacity) return;
  throw new EngineError(
    "CONTEXT_FULL",
    `The session holds ${used} of ${capacity} tokens; the prompt's ${prompt} and one of an answer do not fit. Shorten the prompt, or open a session for more tokens.`,
    { found: used + prompt + 1, expected: capacity },
  );
}

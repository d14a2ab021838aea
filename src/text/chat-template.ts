// chat-template: messages -> ids. The template comes from the GGUF and runs in @huggingface/jinja; its special tokens are parsed,
// those that a message happens to contain are plain text. Leaves to others: merging and ids (tokenizer.ts).

import { Template } from "@huggingface/jinja";
import type { ChatMessage } from "../engine-types";
import { EngineError } from "../errors";
import type { TextPart, Tokenizer } from "./tokenizer";

export interface TemplateOptions {
  /** End with the opening of the assistant's next answer. Default true. */
  readonly addGenerationPrompt?: boolean;
}

const roles: readonly string[] = ["system", "user", "assistant"];

export class ChatTemplate {
  readonly #source: string;
  readonly #template: Template;
  readonly #tokenizer: Tokenizer;

  constructor(source: string | undefined, tokenizer: Tokenizer) {
    this.#source = requireSource(source);
    this.#template = parseTemplate(this.#source);
    this.#tokenizer = tokenizer;
  }

  /** The conversation as text, special tokens of template and messages alike spelled out. */
  render(messages: readonly ChatMessage[], options: TemplateOptions = {}): string {
    checkMessages(messages);
    const { bosId, eosId } = this.#tokenizer;
    try {
      return this.#template.render({
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: options.addGenerationPrompt ?? true,
        bos_token: bosId === undefined ? "" : this.#tokenizer.nameOf(bosId),
        eos_token: eosId === undefined ? "" : this.#tokenizer.nameOf(eosId),
      });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new EngineError(
        "BAD_OPTION",
        `The model's chat template refuses these messages: ${reason} Change their order or roles.`,
        { field: "messages" },
        { cause },
      );
    }
  }

  /** The ids of the conversation. No message can contain a special token: only the template can. */
  encode(messages: readonly ChatMessage[], options: TemplateOptions = {}): number[] {
    checkMessages(messages);
    const guard = new Guard([...this.#tokenizer.specialTokens.keys()], [this.#source, ...messages.map(({ content }) => content)]);
    const text = this.render(
      messages.map(({ role, content }) => ({ role, content: guard.hide(content) })),
      options,
    );
    return this.#idsOf(this.#tokenizer.splitSpecial(text), guard);
  }

  /**
   * The ids that follow an answer of the assistant which stands behind `before` in a conversation: what ends it, then the new messages. Found by
   * rendering all of it around a character that occurs nowhere, so that it does not matter what the template does with an answer's own words.
   * @param last id of the answer: an end token that the model wrote itself is not written twice
   */
  encodeAfter(before: readonly ChatMessage[], messages: readonly ChatMessage[], last: number | undefined): number[] {
    checkMessages(messages);
    const all = [...before, ...messages];
    const guard = new Guard([...this.#tokenizer.specialTokens.keys()], [this.#source, ...all.map(({ content }) => content)]);
    const hidden = all.map(({ role, content }) => ({ role, content: guard.hide(content) }));
    hidden.splice(before.length, 0, { role: "assistant", content: guard.unused });
    const [, ...tails] = this.render(hidden).split(guard.unused);
    const tail = tails.at(-1);
    if (tail === undefined)
      throw bad("messages", "a continuation that the model's chat template does not render", "a template that renders earlier answers; give raw text instead");
    const parts = this.#tokenizer.splitSpecial(tail);
    const first = parts.findIndex(({ kind }) => kind === "special");
    const end = parts[first];
    const ended = end?.kind === "special" && end.id === last && this.#tokenizer.endIds.has(end.id);
    return this.#idsOf(ended ? parts.slice(first + 1) : parts, guard);
  }

  #idsOf(parts: readonly TextPart[], guard: Guard): number[] {
    // Between two special tokens the text is encoded in one go, so merges across the edges of a message are as in ordinary text.
    return parts.flatMap((part) => (part.kind === "special" ? [part.id] : this.#tokenizer.encode(guard.restore(part.text), "plain")));
  }
}

/**
 * Hides the names of special tokens from the splitter while a template runs: the first character of each is replaced by a
 * code point that occurs nowhere. A name that starts at a message's end and might be finished by what follows is hidden too.
 */
class Guard {
  readonly #names: readonly string[];
  readonly #standIns = new Map<string, string>();
  /** A character that occurs nowhere and stands for nothing. */
  readonly unused: string;

  constructor(names: readonly string[], texts: readonly string[]) {
    this.#names = names;
    const used = new Set(texts.flatMap((text) => text.match(/[\u{F0000}-\u{FFFFD}]/gu) ?? []));
    let codePoint = 0xf0000; // supplementary private use area A
    for (const first of new Set(names.map(firstCharacter))) {
      while (used.has(String.fromCodePoint(codePoint))) codePoint++;
      this.#standIns.set(first, String.fromCodePoint(codePoint++));
    }
    while (used.has(String.fromCodePoint(codePoint))) codePoint++;
    this.unused = String.fromCodePoint(codePoint);
  }

  hide(content: string): string {
    return content.replace(/./gsu, (character, i: number) => {
      const standIn = this.#standIns.get(character);
      if (standIn === undefined) return character;
      return this.#names.some((name) => name.startsWith(content.slice(i, i + name.length))) ? standIn : character;
    });
  }

  restore(text: string): string {
    return [...this.#standIns].reduce((restored, [first, standIn]) => restored.replaceAll(standIn, first), text);
  }
}

function firstCharacter(name: string): string {
  return String.fromCodePoint(name.codePointAt(0) ?? 0);
}

function requireSource(source: string | undefined): string {
  if (source !== undefined && source !== "") return source;
  throw new EngineError("MISSING_METADATA", "tokenizer.chat_template is missing: this model has no chat form. Give raw text instead of messages.", {
    key: "tokenizer.chat_template",
  });
}

function parseTemplate(source: string): Template {
  try {
    return new Template(source);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `tokenizer.chat_template cannot be read as Jinja: ${reason} Give raw text instead of messages.`;
    throw new EngineError("MISSING_METADATA", message, { key: "tokenizer.chat_template" }, { cause });
  }
}

function checkMessages(messages: readonly ChatMessage[]): void {
  if (messages.length === 0) throw bad("messages", "an empty list", "at least one message");
  messages.forEach(({ role, content }, i) => {
    if (!roles.includes(role)) throw bad(`messages[${i}].role`, role, roles.join(", "));
    if (typeof content !== "string") throw bad(`messages[${i}].content`, typeof content, "a string");
  });
}

function bad(field: string, found: unknown, expected: string): EngineError {
  return new EngineError("BAD_OPTION", `${field} is ${String(found)}, expected ${expected}. Correct the message.`, { field, found, expected });
}

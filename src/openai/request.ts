// request: an OpenAI request -> the engine's own, checked field by field. What the engine cannot do is refused by name, never dropped.

import type { ChatMessage, GenerateRequest } from "../engine-types";
import { EngineError } from "../errors";
import type { ChatCompletionRequest } from "./types";

/** The engine's request, and how the answer is to come. */
export interface CheckedRequest {
  readonly generate: GenerateRequest;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/** Reads a request that may come from untyped code. */
export function checkRequest(request: ChatCompletionRequest): CheckedRequest {
  const fields = fieldsOf(request, "request");
  for (const [field, value] of Object.entries(fields)) checkField(field, value);
  const lacuna = fieldsOf(fields.lacuna ?? {}, "lacuna");
  refuseOthers(lacuna, ["policy", "budget", "top_k", "min_p", "repetition_penalty"], "lacuna.");
  const streamOptions = fieldsOf(fields.stream_options ?? {}, "stream_options");
  refuseOthers(streamOptions, ["include_usage"], "stream_options.");
  const settings = {
    temperature: numberIn(fields, "temperature", 0, 2) ?? 1, // OpenAI's default
    topP: numberIn(fields, "top_p", 0, 1),
    topK: numberIn(lacuna, "top_k", 0, Number.MAX_SAFE_INTEGER, "lacuna."),
    minP: numberIn(lacuna, "min_p", 0, 1, "lacuna."),
    repetitionPenalty: numberIn(lacuna, "repetition_penalty", 0.01, 100, "lacuna."),
    seed: seedOf(fields),
    maxTokens: maxTokensOf(fields),
    stop: stopOf(fields.stop),
    policy: lacuna.policy,
    budget: lacuna.budget,
  };
  const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
  return {
    generate: { ...given, prompt: { messages: messagesOf(fields.messages) } },
    stream: flag(fields, "stream", ""),
    includeUsage: flag(streamOptions, "include_usage", "stream_options."),
  };
}

type Fields = Readonly<Record<string, unknown>>;

const served = ["messages", "stream", "stream_options", "max_completion_tokens", "max_tokens", "temperature", "top_p", "stop", "seed", "lacuna"];
const ignored = ["model", "user", "store", "metadata"];
// Not served, but some clients send the value that asks for nothing.
const inert: ReadonlyMap<string, readonly unknown[]> = new Map<string, readonly unknown[]>([
  ["n", [1]],
  ["frequency_penalty", [0]],
  ["presence_penalty", [0]],
  ["logit_bias", [{}]],
  ["logprobs", [false]],
  ["top_logprobs", [0]],
  ["response_format", [{ type: "text" }]],
  ["tools", [[]]],
  ["tool_choice", ["none", "auto"]],
  ["parallel_tool_calls", [true, false]],
  ["reasoning_effort", ["none"]],
]);

function checkField(field: string, value: unknown): void {
  if (served.includes(field) || ignored.includes(field)) return;
  const allowed = inert.get(field);
  if (allowed?.some((neutral) => JSON.stringify(neutral) === JSON.stringify(value))) return;
  throw bad(
    field,
    value,
    allowed === undefined ? "nothing: it is not supported" : `nothing or ${allowed.map((neutral) => JSON.stringify(neutral)).join(" or ")}`,
  );
}

function messagesOf(messages: unknown): ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) throw bad("messages", messages, "a list of at least one message");
  return messages.map((message: unknown, i) => {
    const place = `messages[${i}]`;
    const fields = fieldsOf(message, place);
    refuseOthers(fields, ["role", "content"], `${place}.`);
    return { role: roleOf(fields.role, place), content: contentOf(fields.content, `${place}.content`) };
  });
}

function roleOf(role: unknown, place: string): ChatMessage["role"] {
  if (role === "developer") return "system";
  if (role === "system" || role === "user" || role === "assistant") return role;
  throw bad(`${place}.role`, role, "system, developer, user or assistant");
}

function contentOf(content: unknown, place: string): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw bad(place, content, "a string or a list of text parts");
  return content
    .map((part: unknown, i) => {
      const { type, text } = fieldsOf(part, `${place}[${i}]`);
      if (type !== "text") throw bad(`${place}[${i}].type`, type, "text: this engine reads nothing else");
      if (typeof text !== "string") throw bad(`${place}[${i}].text`, text, "a string");
      return text;
    })
    .join("");
}

function maxTokensOf(fields: Fields): number | undefined {
  const now = wholeNumber(fields, "max_completion_tokens", 1);
  const old = wholeNumber(fields, "max_tokens", 1);
  if (now !== undefined && old !== undefined && now !== old) throw bad("max_tokens", old, `nothing or ${now}, as max_completion_tokens says`);
  return now ?? old;
}

// OpenAI's seeds have 64 bits, the engine's 32: the lower 32 count.
function seedOf(fields: Fields): number | undefined {
  const seed = wholeNumber(fields, "seed", Number.MIN_SAFE_INTEGER);
  return seed === undefined ? undefined : ((seed % 2 ** 32) + 2 ** 32) % 2 ** 32;
}

function stopOf(stop: unknown): readonly string[] | undefined {
  if (stop === undefined) return undefined;
  const stops: readonly unknown[] = Array.isArray(stop) ? stop : [stop];
  if (stops.length > 4 || !stops.every((one) => typeof one === "string" && one !== "")) throw bad("stop", stop, "a string or up to 4 of them, none empty");
  return stops as string[];
}

function numberIn(fields: Fields, field: string, min: number, max: number, prefix = ""): number | undefined {
  const value = fields[field];
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !(value >= min && value <= max)) throw bad(prefix + field, value, `a number from ${min} to ${max}`);
  return value;
}

function wholeNumber(fields: Fields, field: string, min: number): number | undefined {
  const value = fields[field];
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min) throw bad(field, value, `a whole number from ${min}`);
  return value;
}

function flag(fields: Fields, field: string, prefix: string): boolean {
  const value = fields[field] ?? false;
  if (typeof value !== "boolean") throw bad(prefix + field, value, "true or false");
  return value;
}

function refuseOthers(fields: Fields, known: readonly string[], prefix: string): void {
  for (const [field, value] of Object.entries(fields)) {
    if (!known.includes(field)) throw bad(prefix + field, value, "nothing: it is not supported");
  }
}

// The fields that are there: null and undefined both mean absent, as with OpenAI.
function fieldsOf(value: unknown, place: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(place, value, "an object");
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null && entry !== undefined));
}

function bad(field: string, found: unknown, expected: string): EngineError {
  const shown = (JSON.stringify(found) ?? typeof found).slice(0, 80);
  return new EngineError("BAD_OPTION", `${field} is ${shown}, expected ${expected}. Correct or remove it.`, { field, found, expected });
}

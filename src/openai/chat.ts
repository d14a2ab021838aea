// chat: OpenAI's chat.completions over the engine's interface. Leaves to others: checking requests (request.ts), everything that computes.

import type { Engine, GenerateEvent, GenerateResult, RunOptions } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import { checkRequest } from "./request";
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest, ChatFinishReason, ChatUsage, LacunaReport } from "./types";

/** `create` as in OpenAI's client. An abort rejects with ABORTED, also in the middle of a stream. */
export interface ChatCompletions {
  create(request: ChatCompletionRequest & { readonly stream: true }, options?: RunOptions): Promise<AsyncIterable<ChatCompletionChunk>>;
  create(request: ChatCompletionRequest & { readonly stream?: false | null }, options?: RunOptions): Promise<ChatCompletion>;
  create(request: ChatCompletionRequest, options?: RunOptions): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>>;
}

export function chatCompletions(engine: Engine): ChatCompletions {
  async function create(request: ChatCompletionRequest, options: RunOptions = {}): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>> {
    const { generate, stream, includeUsage } = checkRequest(request);
    throwIfAborted(options.signal);
    const head: Head = { id: `chatcmpl-${crypto.randomUUID()}`, created: Math.floor(Date.now() / 1000), model: engine.info.model.name };
    const events = engine.generate({ ...generate, ...options });
    return stream ? toChunks(events, head, includeUsage) : toCompletion(events, head);
  }
  return { create: create as ChatCompletions["create"] };
}

/** What all parts of an answer carry. */
interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

async function toCompletion(events: AsyncIterable<GenerateEvent>, head: Head): Promise<ChatCompletion> {
  for await (const event of events) {
    if (event.kind !== "done") continue;
    const { result } = event;
    const message = { role: "assistant", content: result.output.text, refusal: null } as const;
    return {
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message, finish_reason: toFinishReason(result), logprobs: null }],
      usage: toUsage(result),
      lacuna: toReport(result),
    };
  }
  throw endedEarly();
}

// Role, then text, then the finish reason; with usage one more chunk without choices.
async function* toChunks(events: AsyncIterable<GenerateEvent>, head: Head, includeUsage: boolean): AsyncGenerator<ChatCompletionChunk> {
  const chunk = (delta: ChatCompletionChunk["choices"][number]["delta"], finish_reason: ChatFinishReason | null = null): ChatCompletionChunk => ({
    ...head,
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, finish_reason, logprobs: null }],
    ...(includeUsage ? { usage: null } : {}),
  });
  yield chunk({ role: "assistant", content: "" });
  for await (const event of events) {
    if (event.kind === "tokens" && event.text !== "") yield chunk({ content: event.text });
    if (event.kind !== "done") continue;
    const { result } = event;
    const last = chunk({}, toFinishReason(result));
    const lacuna = toReport(result);
    if (!includeUsage) {
      yield { ...last, lacuna };
    } else {
      yield last;
      yield { ...head, object: "chat.completion.chunk", choices: [], usage: toUsage(result), lacuna };
    }
    return;
  }
  throw endedEarly();
}

function toFinishReason({ output }: GenerateResult): ChatFinishReason {
  switch (output.finishReason) {
    case "stop":
      return "stop";
    case "length":
    case "context":
      return "length";
    case "abort":
      throw new EngineError("ABORTED", "The answer was aborted by its signal. Call again to start over.", { text: output.text, tokens: output.ids.length });
    default:
      return output.finishReason satisfies never;
  }
}

function toUsage({ prompt, output }: GenerateResult): ChatUsage {
  return { prompt_tokens: prompt.tokens, completion_tokens: output.ids.length, total_tokens: prompt.tokens + output.ids.length };
}

function toReport({ output, kv, timings }: GenerateResult): LacunaReport {
  const numSlots = kv.slotsKept + kv.slotsEvicted;
  return {
    finish_reason: output.finishReason,
    kv: {
      live_bytes: kv.bytes,
      peak_bytes: kv.peakBytes,
      f16_bytes: kv.fullBytes,
      bytes_by_format: kv.bytesByFormat,
      kept_fraction: numSlots === 0 ? 1 : kv.slotsKept / numSlots,
      evicted_slots: kv.slotsEvicted,
    },
    timings: {
      prefill_ms: timings.prefillMs,
      decode_ms: timings.decodeMs,
      prefill_tokens_per_second: timings.prefillTokensPerSecond,
      decode_tokens_per_second: timings.decodeTokensPerSecond,
    },
  };
}

function endedEarly(): EngineError {
  return new EngineError("INTERNAL", "The engine's stream ended without a result. Report this.");
}

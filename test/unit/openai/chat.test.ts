import { describe, expect, test } from "vitest";
import type { FinishReason } from "../../../src/engine-types";
import { EngineError } from "../../../src/errors";
import { chatCompletions } from "../../../src/openai/chat";
import type { ChatCompletionChunk } from "../../../src/openai/types";
import { type Script, scriptedEngine } from "./scripted-engine";

const messages = [{ role: "user", content: "Hello" }] as const;
const script: Script = { pieces: ["Good ", "", "day", "."], finishReason: "stop" };
const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
const lacuna = {
  finish_reason: "stop",
  kv: { live_bytes: 100, peak_bytes: 120, f16_bytes: 400, bytes_by_format: { k4v4: 60, ring: 40 }, kept_fraction: 0.75, evicted_slots: 2 },
  timings: { prefill_ms: 3, decode_ms: 4, prefill_tokens_per_second: 5, decode_tokens_per_second: 6 },
};

describe("a completion", () => {
  test("has OpenAI's shape, and what is ours under lacuna", async () => {
    const completion = await chatCompletions(scriptedEngine(script).engine).create({ messages });
    expect(completion).toEqual({
      id: expect.stringMatching(/^chatcmpl-.{8}/),
      object: "chat.completion",
      created: expect.closeTo(Date.now() / 1000, -1),
      model: "scripted",
      choices: [{ index: 0, message: { role: "assistant", content: "Good day.", refusal: null }, finish_reason: "stop", logprobs: null }],
      usage,
      lacuna,
    });
    expect(Number.isInteger(completion.created)).toBe(true);
  });

  test.each([
    ["stop", "stop"],
    ["length", "length"],
    ["context", "length"],
  ] as [FinishReason, string][])("finish reason %s is OpenAI's %s", async (finishReason, theirs) => {
    const completion = await chatCompletions(scriptedEngine({ ...script, finishReason }).engine).create({ messages });
    expect(completion.choices[0].finish_reason).toBe(theirs);
    expect(completion.lacuna.finish_reason).toBe(finishReason);
  });

  test("an abort rejects: before it starts, from the engine's error, and from its finish reason", async () => {
    const recorded = scriptedEngine(script);
    const aborted = { code: "ABORTED" };
    await expect(chatCompletions(recorded.engine).create({ messages }, { signal: AbortSignal.abort() })).rejects.toMatchObject(aborted);
    expect(recorded.requests).toEqual([]);
    const thrown = scriptedEngine({ ...script, error: new EngineError("ABORTED", "Stopped.") });
    await expect(chatCompletions(thrown.engine).create({ messages })).rejects.toMatchObject(aborted);
    const finished = scriptedEngine({ ...script, finishReason: "abort" });
    await expect(chatCompletions(finished.engine).create({ messages })).rejects.toMatchObject({ ...aborted, details: { text: "Good day.", tokens: 4 } });
  });
});

describe("a stream", () => {
  test("is role, text, finish reason, with one id throughout; lacuna on the last chunk", async () => {
    const chunks = await collect(await chatCompletions(scriptedEngine(script).engine).create({ messages, stream: true }));
    expect(chunks.map(({ choices }) => choices)).toEqual([
      [choice({ role: "assistant", content: "" })],
      [choice({ content: "Good " })],
      [choice({ content: "day" })],
      [choice({ content: "." })],
      [choice({}, "stop")],
    ]);
    for (const { id, created, model, object } of chunks) {
      expect({ id, created, model, object }).toEqual({ id: chunks[0]?.id, created: chunks[0]?.created, model: "scripted", object: "chat.completion.chunk" });
    }
    expect(chunks.map((chunk) => "usage" in chunk)).toEqual([false, false, false, false, false]);
    expect(chunks.map((chunk) => chunk.lacuna)).toEqual([undefined, undefined, undefined, undefined, lacuna]);
  });

  test("with usage ends in a chunk without choices; all before it say usage null", async () => {
    const stream = await chatCompletions(scriptedEngine(script).engine).create({ messages, stream: true, stream_options: { include_usage: true } });
    const chunks = await collect(stream);
    expect(chunks.map((chunk) => chunk.usage)).toEqual([null, null, null, null, null, usage]);
    expect(chunks.at(-1)?.choices).toEqual([]);
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("stop");
    expect(chunks.map((chunk) => chunk.lacuna)).toEqual([undefined, undefined, undefined, undefined, undefined, lacuna]);
  });

  test("leaving the loop ends the engine's generator", async () => {
    const recorded = scriptedEngine(script);
    for await (const chunk of await chatCompletions(recorded.engine).create({ messages, stream: true })) {
      if (chunk.choices[0]?.delta.content === "Good ") break;
    }
    expect(recorded.numEnded).toBe(1);
  });

  test("an abort in the middle makes the iterator throw", async () => {
    const abort = new AbortController();
    const stream = await chatCompletions(scriptedEngine(script).engine).create({ messages, stream: true }, { signal: abort.signal });
    const seen: string[] = [];
    const read = async () => {
      for await (const chunk of stream) {
        seen.push(chunk.choices[0]?.delta.content ?? "");
        if (seen.length === 2) abort.abort();
      }
    };
    await expect(read()).rejects.toMatchObject({ code: "ABORTED" });
    expect(seen).toEqual(["", "Good "]);
  });

  test("an engine's error keeps its code", async () => {
    const failing = scriptedEngine({ ...script, error: new EngineError("BAD_LOGITS", "Found NaN.", { layer: 1 }) });
    const stream = await chatCompletions(failing.engine).create({ messages, stream: true });
    await expect(collect(stream)).rejects.toMatchObject({ code: "BAD_LOGITS", details: { layer: 1 } });
  });
});

function choice(delta: object, finish_reason: string | null = null): object {
  return { index: 0, delta, finish_reason, logprobs: null };
}

async function collect(stream: AsyncIterable<ChatCompletionChunk>): Promise<ChatCompletionChunk[]> {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

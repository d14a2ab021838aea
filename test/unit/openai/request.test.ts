import { describe, expect, test } from "vitest";
import { checkRequest } from "../../../src/openai/request";
import type { ChatCompletionRequest } from "../../../src/openai/types";

const messages = [{ role: "user", content: "Hello" }] as const;
const prompt = { messages };

describe("checkRequest", () => {
  test("a bare request gets OpenAI's temperature and nothing else", () => {
    expect(checkRequest({ messages })).toEqual({ generate: { prompt, temperature: 1 }, stream: false, includeUsage: false });
  });

  test("every served field arrives", () => {
    const request: ChatCompletionRequest = {
      messages,
      stream: true,
      stream_options: { include_usage: true },
      max_completion_tokens: 9,
      temperature: 0,
      top_p: 0.9,
      stop: ["a", "b"],
      seed: 5,
      lacuna: { policy: "rate-distortion", budget: { ratio: 0.1 }, top_k: 40, min_p: 0.05, repetition_penalty: 1.1 },
    };
    expect(checkRequest(request)).toEqual({
      generate: {
        prompt,
        maxTokens: 9,
        temperature: 0,
        topP: 0.9,
        stop: ["a", "b"],
        seed: 5,
        policy: "rate-distortion",
        budget: { ratio: 0.1 },
        topK: 40,
        minP: 0.05,
        repetitionPenalty: 1.1,
      },
      stream: true,
      includeUsage: true,
    });
  });

  test("developer speaks as system, text parts are joined, a former answer can be sent back", () => {
    const request = checkRequest({
      messages: [
        { role: "developer", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "text", text: "one " },
            { type: "text", text: "two" },
          ],
        },
        { role: "assistant", content: "three", refusal: null },
      ],
    });
    expect(request.generate.prompt).toEqual({
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "one two" },
        { role: "assistant", content: "three" },
      ],
    });
  });

  test("null is absent; both names of the token limit; one stop string; seeds of 64 bits", () => {
    const generateOf = (fields: Partial<ChatCompletionRequest>) => checkRequest({ messages, ...fields }).generate;
    expect(checkRequest({ messages, stream: null, stream_options: null, temperature: null, stop: null, seed: null, lacuna: null })).toEqual(
      checkRequest({ messages }),
    );
    expect(generateOf({ max_tokens: 7 }).maxTokens).toBe(7);
    expect(generateOf({ max_tokens: 7, max_completion_tokens: 7 }).maxTokens).toBe(7);
    expect(generateOf({ stop: "end" }).stop).toEqual(["end"]);
    expect(generateOf({ seed: 2 ** 32 + 3 }).seed).toBe(3);
    expect(generateOf({ seed: -1 }).seed).toBe(2 ** 32 - 1);
  });

  test("what steers nothing is ignored, what asks for nothing is accepted", () => {
    const polite = { model: "gpt", user: "u", store: true, metadata: { a: "b" }, n: 1, frequency_penalty: 0, presence_penalty: 0, logprobs: false } as const;
    expect(checkRequest({ messages, ...polite, response_format: { type: "text" } })).toEqual(checkRequest({ messages }));
    const untyped = { messages, tools: [], tool_choice: "auto", logit_bias: {}, parallel_tool_calls: true, reasoning_effort: "none", top_logprobs: null };
    expect(checkRequest(untyped as ChatCompletionRequest)).toEqual(checkRequest({ messages }));
  });

  test.each([
    ["n", { n: 2 }],
    ["frequency_penalty", { frequency_penalty: 0.5 }],
    ["presence_penalty", { presence_penalty: -1 }],
    ["logit_bias", { logit_bias: { 5: 100 } }],
    ["logprobs", { logprobs: true }],
    ["top_logprobs", { top_logprobs: 5 }],
    ["response_format", { response_format: { type: "json_object" } }],
    ["tools", { tools: [{ type: "function", function: { name: "f" } }] }],
    ["tool_choice", { tool_choice: "required" }],
    ["reasoning_effort", { reasoning_effort: "high" }],
    ["no_such_field", { no_such_field: 1 }],
    ["toString", { toString: 1 }],
    ["lacuna.no_such_field", { lacuna: { no_such_field: 1 } }],
    ["lacuna.top_k", { lacuna: { top_k: -1 } }],
    ["lacuna", { lacuna: "full" }],
    ["stream", { stream: "yes" }],
    ["stream_options.other", { stream_options: { other: true } }],
    ["stream_options.include_usage", { stream_options: { include_usage: 1 } }],
    ["temperature", { temperature: 2.1 }],
    ["temperature", { temperature: "1" }],
    ["top_p", { top_p: Number.NaN }],
    ["seed", { seed: 0.5 }],
    ["max_tokens", { max_tokens: 0 }],
    ["max_tokens", { max_tokens: 5, max_completion_tokens: 6 }],
    ["max_completion_tokens", { max_completion_tokens: 1.5 }],
    ["stop", { stop: "" }],
    ["stop", { stop: ["a", "b", "c", "d", "e"] }],
    ["messages", { messages: [] }],
    ["messages", { messages: "Hello" }],
    ["messages[0]", { messages: ["Hello"] }],
    ["messages[0].role", { messages: [{ role: "tool", content: "x" }] }],
    ["messages[0].content", { messages: [{ role: "assistant", content: null }] }],
    ["messages[0].name", { messages: [{ role: "user", content: "x", name: "Ann" }] }],
    ["messages[0].tool_calls", { messages: [{ role: "assistant", content: "x", tool_calls: [{}] }] }],
    [
      "messages[0].content[1].type",
      {
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "x" },
              { type: "image_url", image_url: { url: "y" } },
            ],
          },
        ],
      },
    ],
    ["messages[0].content[0].text", { messages: [{ role: "user", content: [{ type: "text" }] }] }],
  ])("refuses %s by name", (field, change) => {
    const request = { messages, ...change } as unknown as ChatCompletionRequest;
    expect(() => checkRequest(request)).toThrow(
      expect.objectContaining({ code: "BAD_OPTION", message: expect.stringContaining(`${field} is `), details: expect.objectContaining({ field }) }),
    );
  });
});

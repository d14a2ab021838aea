import { readFileSync } from "node:fs";
import { PreTrainedTokenizer } from "@huggingface/transformers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ChatMessage } from "../../../src/engine-types";
import { ChatTemplate } from "../../../src/text/chat-template";
import { decode } from "../../../src/text/text-stream";
import { pathOf, textModels } from "./fixtures";

const models = await textModels();
const tiny = models[0];
if (tiny === undefined) throw new Error("the bundled model is missing");
const { tokenizer } = tiny;

describe.each(models)("chats of $name", (model) => {
  const template = new ChatTemplate(model.metadata.chatTemplate, model.tokenizer);

  test("text equals that of Transformers", () => {
    for (const { messages, addGenerationPrompt, text } of model.chats) expect(template.render(messages, { addGenerationPrompt })).toBe(text);
  });

  test("ids equal those of Transformers, special tokens of messages as plain text", () => {
    expect(model.chats.some(({ ids, parsedIds }) => ids.length !== parsedIds.length)).toBe(true);
    for (const { messages, addGenerationPrompt, ids } of model.chats) {
      expect(template.encode(messages, { addGenerationPrompt }), JSON.stringify(messages)).toEqual(ids);
    }
  });

  test("what follows an answer is the rest of the whole conversation, whether the model ended it or not", () => {
    const asked: ChatMessage[] = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "What is <|im_end|> or <|end|>?" },
    ];
    const answer: ChatMessage = { role: "assistant", content: "A name." };
    for (const before of [asked, asked.slice(1)])
      for (const after of [
        [{ role: "user", content: "Why?" }],
        [{ role: "user", content: " spaced " }, answer, { role: "user", content: "Ok" }],
      ] as ChatMessage[][]) {
        const whole = template.encode([...before, answer, ...after]);
        const told = [...template.encode(before), ...model.tokenizer.encode(answer.content, "plain")];
        expect([...told, ...template.encodeAfter(before, after, told.at(-1))]).toEqual(whole);
        const end = whole[told.length] ?? -1;
        expect(model.tokenizer.endIds.has(end)).toBe(true);
        expect([...told, end, ...template.encodeAfter(before, after, end)]).toEqual(whole);
      }
  });

  test("a message brings in no special token, whatever it says, and every character of it arrives", () => {
    const names = [...model.tokenizer.specialTokens.keys()];
    const halves = names.flatMap((name) => [name.slice(0, 2), name.slice(2), name.slice(0, -1), name.slice(-1)]);
    const contents = fc.array(fc.constantFrom(...names, ...halves, "a", " ", "\n", "\u{F0000}"), { maxLength: 8 }).map((parts) => parts.join(""));
    const specials = (content: string) => template.encode([{ role: "user", content }]).filter((id) => model.tokenizer.isSpecial(id));
    const ordinary = specials("x");
    fc.assert(
      fc.property(contents, (content) => {
        expect(specials(content)).toEqual(ordinary);
        expect(decode(model.tokenizer, template.encode([{ role: "user", content }]))).toContain(content);
      }),
    );
  });
});

describe("ChatTemplate", () => {
  const render = (source: string, ...contents: string[]) => {
    const template = new ChatTemplate(source, tokenizer);
    const ids = template.encode(contents.map((content) => ({ role: "user", content })));
    return { specials: ids.filter((id) => tokenizer.isSpecial(id)), text: decode(tokenizer, ids) };
  };

  test("a name begun in one message is not finished by the next, nor by the template", () => {
    const joined = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}{{ eos_token }}";
    expect(render(joined, "<|us", "er|>")).toEqual({ specials: [0, 3], text: "<|user|>" });
    expect(render("{{ messages[0].content + '|>' + eos_token }}", "<|user")).toEqual({ specials: [3], text: "<|user|>" });
  });

  test("a continuation needs a template that renders earlier answers; trimming and other ends do no harm", () => {
    const continued = (source: string, last?: number): number[] =>
      new ChatTemplate(source, tokenizer).encodeAfter([{ role: "user", content: "a" }], [{ role: "user", content: "b" }], last);
    const trims = "{% for m in messages %}{{ '<|user|>' + (m.content | trim) + ' <|end|>' }}{% endfor %}";
    expect(continued(trims)).toEqual([...tokenizer.encode(" ", "plain"), 3, 1, ...tokenizer.encode("b ", "plain"), 3]);
    expect(continued(trims, 3)).toEqual([1, ...tokenizer.encode("b ", "plain"), 3]); // the model's own end, without the template's space
    expect(continued("{% for m in messages %}{{ '<|bos|>' + m.content }}{% endfor %}", 0)).toEqual([0, ...tokenizer.encode("b", "plain")]); // begins, does not end
    expect(() => continued("{{ messages[-1].content }}")).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
  });

  test("the template may trim, cut and ask about a message", () => {
    expect(render("{{ bos_token + (messages[0].content | trim) }}", "  <|end|> x \n")).toEqual({ specials: [0], text: "<|end|> x" });
    expect(render("{{ messages[0].content.split('</think>')[-1] }}", "<think>a</think>b<|end|>")).toEqual({ specials: [], text: "b<|end|>" });
  });

  test("merges across the edge of a message are those of ordinary text", () => {
    const template = new ChatTemplate("{{ 'The wh' + messages[0].content + 'le.' }}", tokenizer);
    expect(template.encode([{ role: "user", content: "a" }])).toEqual(tokenizer.encode("The whale.", "plain"));
  });

  test("strftime_now is there", () => {
    expect(render("{{ strftime_now('%Y') }}", "x").text).toMatch(/^\d{4}$/);
  });

  test("equals the template of @huggingface/transformers on the bundled model", () => {
    const readJson = (file: string) => JSON.parse(readFileSync(pathOf(`models/tiny/${file}`), "utf8"));
    const theirs = new PreTrainedTokenizer(readJson("tokenizer.json"), readJson("tokenizer_config.json"));
    const ours = new ChatTemplate(tiny.metadata.chatTemplate, tokenizer);
    for (const { messages } of tiny.chats) {
      expect(ours.render(messages)).toBe(theirs.apply_chat_template([...messages], { tokenize: false, add_generation_prompt: true }));
    }
  });

  test("raise_exception ends in an error with the template's words", () => {
    const template = new ChatTemplate("{{ raise_exception('roles must alternate') }}", tokenizer);
    expect(() => template.encode([{ role: "user", content: "x" }])).toThrow(
      expect.objectContaining({ code: "BAD_OPTION", message: expect.stringContaining("roles must alternate") }),
    );
  });

  test.each([
    ["no template", undefined, /missing/],
    ["a template that is no Jinja", "{% for %}", /Jinja/],
  ])("%s is refused", (_, source, message) => {
    expect(() => new ChatTemplate(source, tokenizer)).toThrow(expect.objectContaining({ code: "MISSING_METADATA", message: expect.stringMatching(message) }));
  });

  test.each([
    ["messages", []],
    [
      "messages[1].role",
      [
        { role: "user", content: "x" },
        { role: "tool", content: "y" },
      ],
    ],
    ["messages[0].content", [{ role: "user", content: 5 }]],
  ])("bad %s are refused by name", (field, messages) => {
    const template = new ChatTemplate(tiny.metadata.chatTemplate, tokenizer);
    expect(() => template.encode(messages as never)).toThrow(expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }));
  });
});

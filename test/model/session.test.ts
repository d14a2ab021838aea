// session: conversations over one cache on the bundled model: what turns hold, that their order of coming in does not matter to what is said, copies and
// moments gone back to, ends and limits. Leaves to others: the boundary of a worker (session-worker.test.ts), templates (test/unit/text).

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fullBytesPerToken } from "../../src/cache/page-layout";
import type { ToolEngine } from "../../src/engine";
import type { CacheOptions, ChatMessage, OpenRequest, PolicySpec, SendRequest, Session } from "../../src/engine-types";
import { failureOf, goldenTexts, idsOf, loadTiny, sendAll } from "./tiny-engine";

const { short, long } = goldenTexts();
const POLICIES: readonly CacheOptions[] = [
  { policy: "full" },
  { policy: "uniform-4" },
  { policy: "lacuna", budget: { ratio: 0.3 } },
  { policy: "h2o", budget: { ratio: 0.3 } },
];
const TOKENS = 600;
const documents = JSON.parse(readFileSync("test/golden/tiny-documents.json", "utf8")) as {
  prompt: number[];
  facts: { question: number[]; value: string }[];
}[];

let engine: ToolEngine;
beforeAll(async () => {
  engine = await loadTiny({ context: 1024 });
});
afterAll(() => engine?.dispose());

const answerOf = async (session: Session, request: SendRequest): Promise<readonly number[]> => (await sendAll(session, request)).output.ids;

async function withSession<T>(request: OpenRequest, act: (session: Session) => Promise<T>): Promise<T> {
  const session = await engine.open(request);
  try {
    return await act(session);
  } finally {
    await session.dispose();
  }
}

const perToken = (): number => fullBytesPerToken(engine.info.model);

describe("turns", () => {
  test.for(POLICIES)("one turn is what generate() gives, greedy and drawn: $policy", async (cache) => {
    const budget = cache.budget ? { budget: { bytes: Math.floor(0.3 * 330 * perToken()) } } : {};
    for (const drawn of [{}, { temperature: 1, seed: 4 }]) {
      const request = { prompt: { ids: long.ids.slice(0, 300) }, maxTokens: 30, ...drawn };
      const once = await idsOf(engine, { ...cache, ...budget, ...request });
      await withSession({ ...cache, ...budget, tokens: 330 }, async (session) => expect(await answerOf(session, request)).toEqual(once));
    }
  });

  test("under full, several turns give the tokens that one prompt of them all gives", async () => {
    await withSession({ policy: "full", tokens: TOKENS }, async (session) => {
      const said: number[] = [];
      for (const [start, end] of [
        [0, 40],
        [40, 41],
        [41, 60],
        [60, 64],
      ]) {
        const ids = short.ids.slice(start, end);
        said.push(...ids);
        const options = { maxTokens: 5, temperature: 0.8, seed: said.length, repetitionPenalty: 1.1 };
        const answer = await answerOf(session, { prompt: { ids }, ...options });
        expect(answer).toEqual(await idsOf(engine, { prompt: { ids: said }, ...options }));
        said.push(...answer);
        expect((await session.usage()).tokens).toBe(said.length);
      }
    });
  });

  test("a string is appended as it is; special tokens in it are parsed", async () => {
    await withSession({ policy: "full", tokens: TOKENS }, async (session) => {
      for (const text of ["<|bos|><|user|>Once upon a time", " and then", "<|end|><|user|>What?<|assistant|>"])
        expect((await sendAll(session, { prompt: text, maxTokens: 3 })).prompt.ids).toEqual(await engine.tokenize({ text }));
    });
  });

  test("messages continue the chat as the template renders it whole, whether the model ended its answer or not", async () => {
    await withSession({ policy: "full", tokens: TOKENS }, async (session) => {
      const messages: ChatMessage[] = [];
      const said: number[] = [];
      const ends: string[] = [];
      const end = await engine.tokenize({ text: "<|end|>" });
      for (const [content, maxTokens] of [
        ["Hi, <|end|> is no end.", 4],
        ["What?", 40],
        ["Why?", 4],
        ["And then?", 1],
      ] as const) {
        const message: ChatMessage = { role: "user", content };
        messages.push(message);
        const { prompt, output } = await sendAll(session, { prompt: { messages: [message] }, maxTokens });
        said.push(...prompt.ids);
        expect(said).toEqual(await engine.tokenize({ messages }));
        said.push(...output.ids);
        messages.push({ role: "assistant", content: output.text });
        ends.push(output.finishReason);
      }
      expect(ends).toEqual(["length", "stop", "length", "length"]);
      expect(said.filter((id) => id === end[0])).toHaveLength(3);
    });
  });

  test("facts of a document are asked for in turns of their own", async () => {
    const { prompt = [], facts = [] } = documents[0] ?? {};
    const text = (await engine.detokenize(prompt)).join("");
    const [one, two] = [...facts].sort((a, b) => text.indexOf(a.value) - text.indexOf(b.value));
    if (!one || !two) return expect.fail("no two facts");
    const asked = await Promise.all([one, two].map(async ({ question }) => (await engine.detokenize(question)).join("")));
    const head = text.slice(0, text.indexOf(two.value) + 60);
    await withSession({ policy: "lacuna", budget: { ratio: 0.5 }, tokens: 1000 }, async (session) => {
      for (const [index, content] of [head + asked[0], asked[1] ?? ""].entries()) {
        const { output } = await sendAll(session, { prompt: { messages: [{ role: "user", content }] }, maxTokens: 30 });
        expect(output.text).toContain([one, two][index]?.value);
      }
    });
  });
});

describe("copies", () => {
  test.for(POLICIES)("forks go on like the session itself and touch nothing of each other: $policy", async (cache) => {
    await withSession({ ...cache, tokens: TOKENS }, async (session) => {
      await answerOf(session, { prompt: { ids: long.ids.slice(0, 200) }, maxTokens: 12 });
      const [one, two] = [await session.fork(), await session.fork()];
      const kv = (await engine.memory()).kv;
      const { kvBytes } = await session.usage();
      expect([(await one.usage()).kvBytes, (await two.usage()).kvBytes, kv]).toEqual([kvBytes, kvBytes, 3 * kvBytes]);
      const asked = { prompt: { ids: long.ids.slice(200, 240) }, maxTokens: 40, temperature: 0.7, seed: 3 };
      const other = await answerOf(two, { prompt: { ids: short.ids.slice(0, 50) }, maxTokens: 40 });
      const [here, there] = await Promise.all([answerOf(session, asked), answerOf(one, asked)]);
      expect(there).toEqual(here);
      expect(other).not.toEqual(here);
      await session.dispose();
      expect(await answerOf(one, { prompt: { ids: short.ids.slice(0, 9) }, maxTokens: 5 })).toHaveLength(5);
      await Promise.all([one.dispose(), two.dispose()]);
      expect((await engine.memory()).kv).toBe(0);
    });
  });

  test("a snapshot is counted, belongs to its session, can be gone back to twice, and is freed", async () => {
    await withSession({ policy: "lacuna", budget: { ratio: 0.3 }, tokens: TOKENS }, async (session) => {
      await answerOf(session, { prompt: { ids: long.ids.slice(0, 200) }, maxTokens: 12 });
      const before = await session.usage();
      const mark = await session.snapshot();
      expect(mark).toMatchObject({ tokens: 212, bytes: before.kvBytes });
      expect(await session.usage()).toEqual({ ...before, snapshotBytes: mark.bytes });
      expect((await engine.memory()).kv).toBe(2 * before.kvBytes);
      const asked = { prompt: { ids: long.ids.slice(200, 240) }, maxTokens: 30 };
      const answer = await answerOf(session, asked);
      for (let again = 0; again < 2; again++) {
        await session.restore(mark);
        expect((await session.usage()).tokens).toBe(212);
        expect(await answerOf(session, asked)).toEqual(answer);
      }
      const fork = await session.fork();
      expect((await failureOf(fork.restore(mark))).code).toBe("BAD_OPTION");
      await fork.dispose();
      await mark.dispose();
      await mark.dispose();
      expect((await failureOf(session.restore(mark))).code).toBe("BAD_OPTION");
      expect((await session.usage()).snapshotBytes).toBe(0);
      await session.snapshot();
      await session.dispose();
      expect((await engine.memory()).kv).toBe(0);
    });
  });
});

describe("memory", () => {
  test.for(POLICIES)("bytes are those taken when it was opened, whatever is said: $policy", async (cache) => {
    const before = await engine.memory();
    await withSession({ ...cache, tokens: TOKENS }, async (session) => {
      const { kvBytes } = await session.usage();
      const most = cache.budget ? 0.3 * TOKENS * perToken() : Number.POSITIVE_INFINITY;
      expect(kvBytes).toBeLessThanOrEqual(most);
      for (const [start, maxTokens] of [
        [0, 40],
        [150, 50],
        [300, 500],
      ] as const)
        for await (const event of session.send({ prompt: { ids: long.ids.slice(start, start + 100) }, maxTokens })) {
          if (event.kind === "prefilled" || event.kind === "tokens") expect(event.kvBytes).toBe(kvBytes);
          if (event.kind !== "done") continue;
          expect(event.result.kv.bytes).toBe(kvBytes);
          expect((await engine.memory()).kv).toBe(kvBytes);
        }
      const { tokens, fullBytes } = await session.usage();
      expect([tokens, fullBytes]).toEqual([TOKENS, TOKENS * perToken()]);
    });
    expect(await engine.memory()).toEqual({ ...before, peak: expect.any(Number) });
  });

  test("pinned spans stay through turns that evict the rest", async () => {
    const policy: PolicySpec = { score: { kind: "tova" }, precision: { kind: "evict-only", formats: ["k8v8"] }, pinned: [[20, 36]] };
    await withSession({ policy, budget: { ratio: 0.25 }, tokens: TOKENS }, async (session) => {
      for (const [start, maxTokens] of [
        [0, 20],
        [200, 60],
        [300, 120],
      ] as const) {
        const { cacheMap, kv } = await sendAll(session, { prompt: { ids: long.ids.slice(start, start + 90) }, maxTokens, cacheMap: true });
        expect(kv.slotsEvicted > 0).toBe(start > 0);
        for (const { positions } of cacheMap?.layers.flatMap(({ heads }) => heads) ?? [])
          expect([...positions].filter((position) => position >= 20 && position < 36)).toHaveLength(16);
      }
    });
  });
});

// turn-filter: RocketKV-MT in a conversation on the bundled model: each turn's filter is its own, what one left out the next can read, copies go on alike, and
// tokens of a prompt read everything. Leaves to others: the kernels (test/kernels/turn-filter.test.ts).

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CacheOptions, PolicySpec } from "../../src/engine-types";
import { Conversation } from "../../src/generate/conversation";
import type { Runtime } from "../../src/generate/runtime";
import { LocalSession, type SessionHost } from "../../src/generate/session";
import type { Gpu } from "../../src/gpu/device";
import { loadModel } from "../../src/load/load-model";
import { Sequence } from "../../src/model/sequence";
import { Transformer } from "../../src/model/transformer";
import { fileSource } from "../../src/node/file-source";
import { ChatTemplate } from "../../src/text/chat-template";
import { Tokenizer } from "../../src/text/tokenizer";
import { testGpu } from "../kernels/gpu";
import { readSelections, type Selected } from "../kernels/read-bench";
import { sendAll, TINY } from "./tiny-engine";

const MT: PolicySpec = { precision: { kind: "uniform", format: "k16v16" }, read: { kind: "rocket", tokens: 96, turn: {} } };
const TOKENS = 1300;
/** <|user|>, which begins a turn after the first. */
const USER = 1;

interface Document {
  readonly prompt: number[];
  readonly facts: { readonly question: number[]; readonly answer: number[] }[];
}
const [document] = JSON.parse(readFileSync("test/golden/tiny-documents.json", "utf8")) as Document[];
const facts = document?.facts ?? [];

let gpu: Gpu;
let runtime: Runtime;
beforeAll(async () => {
  gpu = await testGpu();
  const source = await fileSource(TINY);
  const model = await loadModel(gpu, source);
  await source.close?.();
  const tokenizer = new Tokenizer(model.tokenizer);
  const transformer = new Transformer(gpu, model.config, model.weights, TOKENS);
  runtime = { transformer, tokenizer, context: TOKENS, template: () => new ChatTemplate(model.tokenizer.chatTemplate, tokenizer) };
});
afterAll(() => gpu?.dispose());

const host: SessionHost = { check: () => {}, run: (start) => start(), opened: () => {}, ended: () => {} };

/** A session whose cache can be looked into. */
function open(options: CacheOptions): { readonly session: LocalSession; readonly sequence: Sequence } {
  const sequence = new Sequence(runtime.transformer, options, TOKENS);
  return { sequence, session: new LocalSession(runtime, host, sequence, new Conversation(runtime), TOKENS) };
}

const ask = async (session: Pick<LocalSession, "send">, fact: number, before: readonly number[]) =>
  sendAll(session as LocalSession, { prompt: { ids: [...before, ...(facts[fact]?.question ?? [])] }, maxTokens: facts[fact]?.answer.length ?? 1 });

/** Chunks that every (layer, head) reads for the last token and that another reading's filter left out. */
const readAgain = (now: Selected[][], before: Selected[][]): number =>
  now.flatMap((heads, layer) => heads.flatMap(({ chunks }, head) => chunks.filter((chunk) => before[layer]?.[head]?.leftOut.includes(chunk)))).length;

describe("a document, then two facts asked in turns of their own", () => {
  test("the second turn reads what the first one's filter had left out; the first one's answer did not", async () => {
    const { session, sequence } = open({ policy: MT });
    await ask(session, 0, document?.prompt ?? []);
    const first = await readSelections(gpu, sequence.cache);
    await ask(session, 1, [USER]);
    const second = await readSelections(gpu, sequence.cache);
    expect(readAgain(first, first)).toBe(0);
    expect(readAgain(second, second)).toBe(0);
    expect(readAgain(second, first)).toBeGreaterThan(0);
    for (const head of first.flat()) expect(head.leftOut.length).toBeGreaterThan(head.chunks.length);
    session.close();
  });

  test("a copy and a snapshot go on as the session does", async () => {
    const { session } = open({ policy: MT });
    await ask(session, 0, document?.prompt ?? []);
    const other = await session.fork();
    const mark = await session.snapshot();
    const said = (await ask(session, 1, [USER])).output.ids;
    expect((await sendAll(other, { prompt: { ids: [USER, ...(facts[1]?.question ?? [])] }, maxTokens: said.length })).output.ids).toEqual(said);
    await session.restore(mark);
    expect((await ask(session, 1, [USER])).output.ids).toEqual(said);
    await other.dispose();
    session.close();
  });

  test("the first token of every answer is the full cache's: prompts read everything", async () => {
    const [mt, full] = [open({ policy: MT }), open({ policy: "full" })];
    for (const [fact, before] of [document?.prompt ?? [], [USER], [USER]].entries()) {
      const request = { prompt: { ids: [...before, ...(facts[fact]?.question ?? [])] }, maxTokens: 1 };
      expect((await sendAll(mt.session, request)).output.ids).toEqual((await sendAll(full.session, request)).output.ids);
    }
    for (const { session } of [mt, full]) session.close();
  });
});

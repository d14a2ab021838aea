// session: conversations over one cache on the bundled model: what turns hold, that their order of coming in does not matter to what is said, copies and
// moments gone back to, ends and limits. Leaves to others: the boundary of a worker (session-worker.test.ts), templates (test/unit/text).

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fullBytesPerToken } from "../../src/cache/page-layout";
import type { ToolEngine } from "../../src/engine";
import type { CacheOptions, GenerateResult, OpenRequest, SendRequest, Session } from "../../src/engine-types";
import { eventsOf, goldenTexts, idsOf, loadTiny } from "./tiny-engine";

const { short, long } = goldenTexts();
const POLICIES: readonly CacheOptions[] = [
  { policy: "full" },
  { policy: "uniform-4" },
  { policy: "lacuna", budget: { ratio: 0.3 } },
  { policy: "h2o", budget: { ratio: 0.3 } },
];
const TOKENS = 600;

let engine: ToolEngine;
beforeAll(async () => {
  engine = await loadTiny({ context: 1024 });
});
afterAll(() => engine?.dispose());

async function sendAll(session: Session, request: SendRequest): Promise<GenerateResult> {
  const done = (await eventsOf(session.send(request))).at(-1);
  if (done?.kind !== "done") throw new Error(`the last event was ${done?.kind}`);
  return done.result;
}

const answerOf = async (session: Session, request: SendRequest): Promise<readonly number[]> => (await sendAll(session, request)).output.ids;

async function withSession<T>(request: OpenRequest, act: (session: Session) => Promise<T>): Promise<T> {
  const session = await engine.open(request);
  try {
    return await act(session);
  } finally {
    await session.dispose();
  }
}

describe("turns", () => {
  test("one turn is what generate() gives, greedy and drawn", async () => {
    for (const cache of POLICIES) {
      const request = { prompt: { ids: long.ids.slice(0, 300) }, maxTokens: 30 };
      for (const drawn of [{}, { temperature: 1, seed: 4 }]) {
        const budget = cache.budget ? { bytes: Math.floor(0.3 * 330 * perToken()) } : undefined;
        const options = { ...cache, ...(budget && { budget }) };
        const once = await idsOf(engine, { ...options, ...request, ...drawn });
        await withSession({ ...options, tokens: 330 }, async (session) => expect(await answerOf(session, { ...request, ...drawn })).toEqual(once));
      }
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
      ] as const) {
        const ids = short.ids.slice(start, end);
        said.push(...ids);
        const answer = await answerOf(session, { prompt: { ids }, maxTokens: 5 });
        expect(answer).toEqual(await idsOf(engine, { prompt: { ids: said }, maxTokens: 5 }));
        said.push(...answer);
        expect((await session.usage()).tokens).toBe(said.length);
      }
    });
  });
});

function perToken(): number {
  return fullBytesPerToken(engine.info.model);
}

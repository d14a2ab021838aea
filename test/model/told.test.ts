// told: the ids by which the cold tier knows a conversation are those that its events told, however a turn ends and whatever ran ahead of what was read back.
// Leaves to others: what the cache itself holds then (session-ends.test.ts), what the tier does with ids (test/unit/cold).

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ToolEngine } from "../../src/engine";
import type { GenerateEvent, SendRequest, Session } from "../../src/engine-types";
import type { Sequence } from "../../src/model/sequence";
import { failureOf, goldenTexts, loadTiny, sendAll, tapGpu } from "./tiny-engine";

const { short, long } = goldenTexts();
const first = { ids: long.ids.slice(0, 120) };
const later = { ids: short.ids.slice(0, 40) };

/** What the tier of a session was told, and how many tokens the cache holds. */
function tierOf(session: Session): { readonly ids: readonly number[]; readonly held: number } {
  const { cache, cold } = (session as unknown as { readonly sequence: Sequence }).sequence; // no caller can see it
  return { ids: cold?.state.ids ?? [], held: cache.tokens };
}

/** Sends and collects the ids that events tell, until `leave`. */
async function told(session: Session, request: SendRequest, leave: (event: GenerateEvent) => boolean = () => false): Promise<number[]> {
  const ids: number[] = [];
  for await (const event of session.send(request)) {
    if (event.kind === "prefilled") ids.push(...event.promptIds);
    if (event.kind === "tokens") ids.push(...event.ids);
    if (leave(event)) break;
  }
  return ids;
}

type Turn = (session: Session) => Promise<readonly number[]>;

const endings: readonly (readonly [string, Turn])[] = [
  ["it is over", (session) => told(session, { prompt: later, maxTokens: 20 })],
  ["its loop is left before the first token", (session) => told(session, { prompt: later, maxTokens: 30 }, ({ kind }) => kind === "prefilled")],
  ["its loop is left in the answer", (session) => told(session, { prompt: later, maxTokens: 30 }, (event) => event.kind === "tokens" && event.count === 7)],
  [
    "its signal comes in the answer",
    (session) => {
      const { signal, abort } = abortable();
      return told(session, { prompt: later, maxTokens: 30, signal }, (event) => {
        if (event.kind === "tokens" && event.count === 9) abort();
        return false;
      });
    },
  ],
  [
    "its signal comes in the prompt",
    async (session) => {
      const before = (await session.usage()).tokens;
      const { signal, abort } = abortable();
      expect((await failureOf(told(session, { prompt: later, signal, onProgress: ({ done }) => done > 9 && abort() }))).code).toBe("ABORTED");
      const { tokens } = await session.usage();
      expect(tokens).toBeGreaterThan(before);
      expect(tokens).toBeLessThan(before + later.ids.length);
      return later.ids.slice(0, tokens - before);
    },
  ],
];

function abortable(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

describe.each(["as on software", "as on hardware, steps running further ahead"])("%s", (kind) => {
  let engine: ToolEngine;
  beforeAll(async () => {
    engine =
      kind === "as on software" ? await loadTiny({ context: 512 }) : await loadTiny({ context: 512 }, (await tapGpu({}, { description: "hardware" })).gpu);
    expect(engine.info.adapter.software).toBe(kind === "as on software");
  });
  afterAll(() => engine?.dispose());

  test.for(endings)("what a turn told is what the tier knows, when %s", async ([, turn]) => {
    const session = await engine.open({ policy: "expected-attention", budget: { ratio: 0.3 }, tokens: 400, cold: { maxBytes: 4 << 20 } });
    const conversation = [...(await told(session, { prompt: first, maxTokens: 5 }))];
    conversation.push(...(await turn(session)));
    expect((await session.usage()).tokens).toBe(conversation.length);
    let { ids, held } = tierOf(session);
    expect(conversation.length - held).toBeLessThanOrEqual(1); // the last one told comes in with the next turn
    expect(ids.slice(0, held)).toEqual(conversation.slice(0, held));
    const { prompt, output } = await sendAll(session, { prompt: { ids: [5, 6, 7] }, maxTokens: 3 });
    conversation.push(...prompt.ids, ...output.ids);
    ({ ids, held } = tierOf(session));
    expect(held).toBeGreaterThanOrEqual(conversation.length - 1);
    expect(ids.slice(0, held)).toEqual(conversation.slice(0, held));
    expect(ids.slice(0, conversation.length)).toEqual(conversation);
    await session.dispose();
  });
});

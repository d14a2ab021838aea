// session-ends: what is left of a session after an abort, a loop left early, a failure, at its last token, and after dispose.
// Under policy full a session must go on like one prompt of all that it says it has taken in: nothing more is in its cache, and nothing less.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ToolEngine } from "../../src/engine";
import type { GenerateEvent, Session } from "../../src/engine-types";
import { eventsOf, failureOf, goldenTexts, idsOf, loadTiny, sendAll, tapGpu } from "./tiny-engine";

const { short, long } = goldenTexts();
const first = { prompt: { ids: long.ids.slice(0, 100) }, maxTokens: 40 };
const next = { ids: short.ids.slice(0, 30) };
const code = async (act: Promise<unknown>): Promise<string> => (await failureOf(act)).code;

let engine: ToolEngine;
let session: Session;
beforeAll(async () => {
  engine = await loadTiny({ context: 1024 });
});
afterAll(() => engine?.dispose());
beforeEach(async () => {
  session = await engine.open({ policy: "full", tokens: 400 });
});
afterEach(() => session.dispose());

/** It holds just these tokens, and speaks accordingly. */
async function expectHolds(open: Session, ids: readonly number[], of: ToolEngine = engine): Promise<void> {
  expect((await open.usage()).tokens).toBe(ids.length);
  const { output } = await sendAll(open, { prompt: next, maxTokens: 12 });
  expect(output.ids).toEqual(await idsOf(of, { prompt: { ids: [...ids, ...next.ids] }, maxTokens: 12 }));
}

const told = (events: readonly GenerateEvent[]): number[] => events.flatMap((event) => (event.kind === "tokens" ? event.ids : []));

describe("a turn that is stopped", () => {
  test("in the first prompt leaves nothing", async () => {
    const controller = new AbortController();
    const sending = eventsOf(session.send({ ...first, signal: controller.signal, onProgress: ({ done }) => done > 200 && controller.abort() }));
    expect(await code(sending)).toBe("ABORTED");
    await expectHolds(session, []);
  });

  test("in a later prompt leaves what was in", async () => {
    const { output } = await sendAll(session, { ...first, maxTokens: 3 });
    const controller = new AbortController();
    const prompt = { ids: short.ids };
    expect(await code(eventsOf(session.send({ prompt, signal: controller.signal, onProgress: () => controller.abort() })))).toBe("ABORTED");
    const { tokens } = await session.usage();
    const whole = [...first.prompt.ids, ...output.ids, ...short.ids];
    expect(tokens).toBeGreaterThan(103);
    expect(tokens).toBeLessThan(whole.length);
    await expectHolds(session, whole.slice(0, tokens));
  });

  test.for(["prefilled", "tokens"] as const)("by leaving the loop at %s leaves the prompt and what was told", async (kind) => {
    const events: GenerateEvent[] = [];
    for await (const event of session.send(first)) {
      events.push(event);
      if (event.kind === kind && (kind === "prefilled" || told(events).length === 7)) break;
    }
    await expectHolds(session, [...first.prompt.ids, ...told(events)]);
  });

  test("in its answer by the signal leaves what was told", async () => {
    const controller = new AbortController();
    const events: GenerateEvent[] = [];
    for await (const event of session.send({ ...first, signal: controller.signal })) {
      events.push(event);
      if (event.kind === "tokens" && event.count === 9) controller.abort();
    }
    expect(events.at(-1)).toMatchObject({ kind: "done", result: { output: { finishReason: "abort" } } });
    await expectHolds(session, [...first.prompt.ids, ...told(events)]);
  });

  test("by a stop string or an end token leaves these in, too", async () => {
    const chat = await sendAll(session, { prompt: { messages: [{ role: "user", content: "What?" }] } });
    expect(chat.output.finishReason).toBe("stop");
    const ids = [...chat.prompt.ids, ...chat.output.ids];
    const [piece = ""] = (await engine.detokenize(await idsOf(engine, { prompt: { ids: [...ids, ...next.ids] }, maxTokens: 3 }))).slice(2);
    const { output } = await sendAll(session, { prompt: next, stop: [piece] });
    expect(output.finishReason).toBe("stop");
    await expectHolds(session, [...ids, ...next.ids, ...output.ids]);
  });
});

describe("steps that ran ahead, as on hardware", () => {
  let hardware: ToolEngine;
  beforeAll(async () => {
    hardware = await loadTiny({ context: 512 }, (await tapGpu({}, { description: "a test's hardware" })).gpu);
  });
  afterAll(() => hardware?.dispose());

  test.for([2, 5, 16])("are taken back, with a ring of %i", async (ring) => {
    expect(hardware.info.adapter.software).toBe(false);
    const exact = { precision: { kind: "uniform", format: "k16v16" }, ring } as const;
    for (const kind of ["prefilled", "tokens"]) {
      const open = await hardware.open({ policy: exact, tokens: 400 });
      const events: GenerateEvent[] = [];
      for await (const event of open.send(first)) {
        events.push(event);
        if (event.kind === kind) break;
      }
      await expectHolds(open, [...first.prompt.ids, ...told(events)], hardware);
      await open.dispose();
    }
  });
});

describe("a turn that fails", () => {
  test("leaves a session that refuses to go on until a snapshot is restored", async () => {
    const tap = await tapGpu();
    const other = await loadTiny({ context: 512 }, tap.gpu);
    const open = await other.open({ policy: "full", tokens: 300 });
    const { output } = await sendAll(open, { ...first, maxTokens: 4 });
    const mark = await open.snapshot();
    // NaN in the ring, as a GPU that computes wrongly would leave it; the snapshot has a ring of its own, of another name.
    const ring = tap.buffer("KvCache.ring");
    tap.device().queue.writeBuffer(ring, 0, new Uint32Array(ring.size / 4).fill(0x7e007e00));
    const fork = await open.fork();
    expect(await code(eventsOf(open.send({ prompt: next })))).toBe("BAD_LOGITS");
    for (const act of [() => eventsOf(open.send({ prompt: next })), () => open.fork(), () => open.snapshot()]) {
      const error = await failureOf(act());
      expect([error.code, error.message]).toEqual(["BAD_LOGITS", expect.stringContaining("Restore a snapshot")]);
    }
    expect(await code(eventsOf(fork.send({ prompt: next })))).toBe("BAD_LOGITS");
    await open.restore(mark);
    await expectHolds(open, [...first.prompt.ids, ...output.ids], other);
    await other.dispose();
  });

  test("with the device: a lost one is told, then and afterwards", async () => {
    const tap = await tapGpu();
    const other = await loadTiny({ context: 512 }, tap.gpu);
    const open = await other.open({ policy: "full", tokens: 300 });
    const sending = (async () => {
      for await (const { kind } of open.send(first)) if (kind === "tokens") tap.device().destroy();
    })();
    expect(await code(sending)).toBe("DEVICE_LOST");
    for (const act of [() => eventsOf(open.send({ prompt: next })), () => open.fork(), () => open.usage()]) expect(await code(act())).toBe("DEVICE_LOST");
    await open.dispose();
    await other.dispose();
  });
});

describe("limits", () => {
  test("what does not fit is refused before anything is touched; the last token ends by context", async () => {
    const open = await engine.open({ policy: "full", tokens: 120 });
    const { output } = await sendAll(open, { prompt: { ids: short.ids }, maxTokens: 10 });
    const usage = await open.usage();
    const error = await failureOf(eventsOf(open.send({ prompt: { ids: long.ids.slice(0, 46) } })));
    expect(error).toMatchObject({ code: "CONTEXT_FULL", details: { found: 121, expected: 120 } });
    expect(await open.usage()).toEqual(usage);
    const fits = await sendAll(open, { prompt: { ids: long.ids.slice(0, 40) } });
    expect(fits.output).toMatchObject({ finishReason: "context", ids: { length: 6 } });
    expect(fits.output.ids).toEqual(await idsOf(engine, { prompt: { ids: [...short.ids, ...output.ids, ...fits.prompt.ids] }, maxTokens: 6 }));
    expect((await open.usage()).tokens).toBe(120);
    expect(await code(eventsOf(open.send({ prompt: { ids: [5] } })))).toBe("CONTEXT_FULL");
    await open.dispose();
  });

  test("a score that replays needs room to read the first prompt twice, and is refused without; later prompts are read once", async () => {
    const small = await loadTiny({ context: 256 });
    try {
      const open = await small.open({ policy: "lacuna-thorough", budget: { ratio: 0.5 }, tokens: 240 });
      const before = await open.usage();
      const whole = { prompt: { ids: long.ids.slice(0, 220) }, maxTokens: 8 };
      const error = await failureOf(eventsOf(open.send(whole)));
      expect(error).toMatchObject({ code: "CONTEXT_FULL", message: expect.stringContaining("replays the prompt") });
      expect(await open.usage()).toEqual(before);
      await sendAll(open, { prompt: { ids: long.ids.slice(0, 100) }, maxTokens: 4 });
      const { output } = await sendAll(open, { prompt: { ids: long.ids.slice(100, 216) }, maxTokens: 8 });
      expect(output.ids.length).toBe(8);
      expect((await open.usage()).tokens).toBe(228); // after which no replay would fit, either
    } finally {
      await small.dispose();
    }
  });

  test("one token of a prompt and one of an answer", async () => {
    const open = await engine.open({ policy: "full", tokens: 2 });
    expect((await sendAll(open, { prompt: { ids: short.ids.slice(0, 1) } })).output).toMatchObject({ finishReason: "context", ids: { length: 1 } });
    await open.dispose();
  });

  test.for([0, 1, 2.5, 1025, Number.NaN])("%d tokens cannot be held", async (tokens) => {
    expect(await failureOf(engine.open({ policy: "full", tokens }))).toMatchObject({ code: "BAD_OPTION", details: { field: "tokens" } });
  });

  test("bad requests are refused and change nothing, in the first turn and later", async () => {
    for (const held of [0, 103]) {
      const usage = await session.usage();
      expect(usage.tokens).toBe(held);
      const bad = [
        { prompt: "" },
        { prompt: { ids: [] } },
        { prompt: { ids: [99999] } },
        { prompt: { messages: [] } },
        { prompt: 5 },
        { prompt: "x", maxTokens: 0 },
      ];
      for (const request of [...bad, { prompt: "x", temperature: -1 }, { prompt: "x", stop: [""] }])
        expect(await code(eventsOf(session.send(request as Parameters<Session["send"]>[0]))), JSON.stringify(request)).toBe("BAD_OPTION");
      expect(await code(eventsOf(session.send({ prompt: "x", signal: AbortSignal.abort() })))).toBe("ABORTED");
      expect(await session.usage()).toEqual(usage);
      if (held === 0) await sendAll(session, { ...first, maxTokens: 3 });
    }
  });

  test("a cache that cannot be made leaves nothing behind", async () => {
    const before = await engine.memory();
    expect(await code(engine.open({ policy: "lacuna", budget: { bytes: 5000 }, tokens: 400 }))).toBe("BUDGET_TOO_SMALL");
    expect(await code(engine.open({ policy: "snapkv", tokens: 400 }))).toBe("BAD_OPTION");
    expect(await engine.memory()).toEqual({ ...before, peak: expect.any(Number) });
  });
});

describe("one turn at a time", () => {
  test("meanwhile everything but usage and dispose is BUSY; the turn goes on", async () => {
    const mark = await session.snapshot();
    const events: GenerateEvent[] = [];
    for await (const event of session.send(first)) {
      events.push(event);
      if (event.kind !== "prefilled") continue;
      for (const act of [eventsOf(session.send({ prompt: "x" })), session.fork(), session.snapshot(), session.restore(mark)])
        expect(await code(act)).toBe("BUSY");
      expect((await session.usage()).tokens).toBe(100);
    }
    expect(told(events)).toEqual(await idsOf(engine, first));
    await session.restore(mark);
    await expectHolds(session, []);
  });

  test("several sessions and a request side by side each give what they give alone", async () => {
    const other = await engine.open({ policy: "uniform-4", tokens: 400 });
    const alone = await idsOf(engine, { policy: "uniform-4", prompt: { ids: short.ids }, maxTokens: 40 });
    const exact = await idsOf(engine, first);
    const [a, b, c] = await Promise.all([
      sendAll(session, first),
      sendAll(other, { prompt: { ids: short.ids }, maxTokens: 40 }),
      idsOf(engine, { prompt: { ids: short.ids }, maxTokens: 32 }),
    ]);
    expect([a.output.ids, b.output.ids, c]).toEqual([exact, alone, short.greedyIds]);
    await other.dispose();
  });
});

describe("dispose", () => {
  test("twice is harmless; what comes after says DISPOSED; nothing is left", async () => {
    const before = await engine.memory();
    const open = await engine.open({ policy: "full", tokens: 300 });
    const mark = await open.snapshot();
    await sendAll(open, { ...first, maxTokens: 3 });
    await open.dispose();
    await open.dispose();
    await mark.dispose();
    for (const act of [eventsOf(open.send({ prompt: "x" })), open.fork(), open.snapshot(), open.restore(mark), open.usage()])
      expect(await code(act)).toBe("DISPOSED");
    expect(await engine.memory()).toEqual({ ...before, peak: expect.any(Number) });
  });

  test.for(["prefill", "prefilled", "tokens"])("in the middle of a turn (%s) ends it and frees all", async (point) => {
    const before = await engine.memory();
    const open = await engine.open({ policy: "lacuna", budget: { ratio: 0.5 }, tokens: 300 });
    const sending = (async () => {
      for await (const { kind } of open.send({ ...first, onProgress: ({ done }) => point === "prefill" && done > 100 && void open.dispose() }))
        if (kind === point) await open.dispose();
    })();
    expect(await code(sending)).toBe("DISPOSED");
    expect(await engine.memory()).toEqual({ ...before, peak: expect.any(Number) });
  });

  test("with the engine", async () => {
    const other = await loadTiny({ context: 256 });
    const [open, running] = [await other.open({ policy: "full", tokens: 200 }), await other.open({ policy: "full", tokens: 200 })];
    const sending = (async () => {
      for await (const { kind } of running.send(first)) if (kind === "tokens") void other.dispose();
    })();
    expect(await code(sending)).toBe("DISPOSED");
    for (const act of [eventsOf(open.send({ prompt: "x" })), open.usage(), other.open({ tokens: 5 })]) expect(await code(act)).toBe("DISPOSED");
    await expectHolds(session, []);
  });
});

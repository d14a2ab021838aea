// session-worker: real sessions behind comlink say what they say in this thread, and the same errors come over.

import { expose } from "comlink";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine, LoadRequest } from "../../src/engine-types";
import { createHost } from "../../workers/engine-host";
import { loadOver } from "../../workers/remote-engine";
import { eventsOf, failureOf, goldenTexts, loadTiny, sendAll } from "./tiny-engine";

const { short, long } = goldenTexts();
const ports: MessagePort[] = [];
let near: Engine; // in this thread
let far: Engine; // behind the channel
beforeAll(async () => {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  expose(
    createHost((request) => loadTiny(request)),
    port2,
  );
  near = await loadTiny({ context: 512 });
  far = await loadOver(port1, { model: "tiny", context: 512 } as LoadRequest);
});
afterAll(async () => {
  await near?.dispose();
  await far?.dispose();
  for (const port of ports) port.close();
});

/** Everything that two turns, a fork and a way back say and hold. */
async function talk(engine: Engine): Promise<unknown> {
  const session = await engine.open({ policy: "lacuna", budget: { ratio: 0.4 }, tokens: 400 });
  const first = await sendAll(session, { prompt: { ids: long.ids.slice(0, 150) }, maxTokens: 10, temperature: 0.8, seed: 1 });
  const mark = await session.snapshot();
  const fork = await session.fork();
  const second = await sendAll(session, { prompt: { messages: [{ role: "user", content: "What?" }] }, maxTokens: 20, cacheMap: true });
  const other = await sendAll(fork, { prompt: "And then?", maxTokens: 20 });
  const usage = await session.usage();
  await session.restore(mark);
  const again = await sendAll(session, { prompt: "And then?", maxTokens: 20 });
  expect(again.output).toEqual(other.output);
  await Promise.all([session.dispose(), fork.dispose()]);
  return { turns: [first, second, other, again].map(({ timings: _, kv, ...rest }) => ({ ...rest, bytes: kv.bytes })), mark: { ...mark, dispose: null }, usage };
}

test("a conversation is the same on both sides", async () => {
  expect(await talk(far)).toEqual(await talk(near));
  expect((await far.memory()).kv).toBe(0);
});

test("errors keep code and details; what a signal leaves can be gone on with", async () => {
  expect(await failureOf(far.open({ policy: "full", tokens: 5000 }))).toMatchObject({ code: "BAD_OPTION", details: { field: "tokens", found: 5000 } });
  const session = await far.open({ policy: "full", tokens: 300 });
  const controller = new AbortController();
  const sending = eventsOf(session.send({ prompt: { ids: long.ids.slice(0, 200) }, signal: controller.signal, onProgress: () => controller.abort() }));
  expect((await failureOf(sending)).code).toBe("ABORTED");
  expect((await session.usage()).tokens).toBe(0);
  expect((await sendAll(session, { prompt: { ids: short.ids }, maxTokens: 32 })).output.ids).toEqual(short.greedyIds);
  const full = { code: "CONTEXT_FULL", details: { found: 297 + 32, expected: 300 } };
  expect(await failureOf(eventsOf(session.send({ prompt: { ids: long.ids.slice(0, 232) } })))).toMatchObject(full);
  for await (const { kind } of session.send({ prompt: { ids: [5, 6] }, maxTokens: 100 })) {
    if (kind !== "tokens") continue;
    expect((await failureOf(session.fork())).code).toBe("BUSY");
    break;
  }
  const { tokens } = await session.usage();
  expect(tokens).toBeGreaterThanOrEqual(99);
  expect((await sendAll(session, { prompt: { ids: [7] }, maxTokens: 3 })).output.ids).toHaveLength(3);
  await session.dispose();
});

test("the cold tier's limit, lowered between turns on either side: holds at once, in forks, too; nonsense changes nothing", async () => {
  for (const engine of [near, far]) {
    const session = await engine.open({ policy: "expected-attention", budget: { ratio: 0.2 }, tokens: 400, cold: { maxBytes: 4 << 20 } });
    await sendAll(session, { prompt: { ids: long.ids.slice(0, 250) }, maxTokens: 5 });
    const before = (await session.usage()).cold;
    if (!before) throw new Error("no cold tier");
    for (const bad of [0, -1, Number.NaN, 1.5, 100])
      expect(await failureOf(session.limitCold(bad))).toMatchObject({ code: "BAD_OPTION", details: { field: "cold.maxBytes", found: bad } });
    expect((await session.usage()).cold).toEqual(before);
    const maxBytes = Math.floor(before.bytes / 3);
    await session.limitCold(maxBytes);
    const after = (await session.usage()).cold;
    expect(after).toMatchObject({ maxBytes });
    expect(after?.bytes).toBeLessThanOrEqual(maxBytes);
    expect(after?.gone).toBeGreaterThan(before.gone);
    const fork = await session.fork();
    expect((await fork.usage()).cold).toMatchObject({ maxBytes });
    await sendAll(session, { prompt: "And then?", maxTokens: 8 });
    expect((await session.usage()).cold?.bytes).toBeLessThanOrEqual(maxBytes);
    await Promise.all([session.dispose(), fork.dispose()]);
    expect((await failureOf(session.limitCold(maxBytes))).code).toBe("DISPOSED");
  }
  const plain = await near.open({ policy: "full", tokens: 50 });
  expect(await failureOf(plain.limitCold(1e6))).toMatchObject({ code: "BAD_OPTION", details: { field: "cold.maxBytes" } });
  await plain.dispose();
});

// session-boundary: sessions survive the trip through comlink. Both ends run here, a MessageChannel between them; the sessions are scripted.

import { expose } from "comlink";
import { afterEach, expect, test } from "vitest";
import type { GenerateEvent, SendRequest, Session } from "../../src/engine-types";
import { createHost } from "../../workers/engine-host";
import { loadOver } from "../../workers/remote-engine";
import { createSeen, loadScripted, type Seen } from "./scripted-engine";

const ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

async function connect(seen: Seen = createSeen()) {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  expose(
    createHost((received) => loadScripted(received, seen)),
    port2,
  );
  const engine = await loadOver(port1, { model: "tiny" });
  return { engine, seen, session: await engine.open({ policy: "full", tokens: 50 }) };
}

async function kindsOf(session: Session, request: SendRequest): Promise<string[]> {
  const kinds: GenerateEvent["kind"][] = [];
  for await (const { kind } of session.send(request)) kinds.push(kind);
  return kinds;
}

test("turns stream their events; usage, forks and snapshots belong to their session", async () => {
  const { session, seen } = await connect();
  const progress: number[] = [];
  const kinds = await kindsOf(session, { prompt: "x", maxTokens: 2, onProgress: ({ done }) => progress.push(done) });
  expect(kinds).toEqual(["prefilled", "tokens", "tokens", "done"]);
  expect(progress).toEqual([1]);
  expect(seen.requests[0]).toMatchObject({ prompt: { text: "x" }, maxTokens: 2 });
  const fork = await session.fork();
  const mark = await session.snapshot();
  expect(mark).toMatchObject({ tokens: 4, bytes: 10 });
  await kindsOf(session, { prompt: "y", maxTokens: 3 });
  expect(await session.usage()).toEqual({ tokens: 9, capacity: 50, kvBytes: 100, fullBytes: 72, snapshotBytes: 10 });
  expect((await fork.usage()).tokens).toBe(4);
  await session.restore(mark);
  expect((await session.usage()).tokens).toBe(4);
  await expect(fork.restore(mark)).rejects.toMatchObject({ code: "BAD_OPTION", details: { field: "mark" } });
  await mark.dispose();
  await mark.dispose();
  await expect(session.restore(mark)).rejects.toMatchObject({ code: "BAD_OPTION" });
  expect((await session.usage()).snapshotBytes).toBe(0);
});

test("a session that was disposed says so; others and the engine go on", async () => {
  const { engine, session, seen } = await connect();
  const other = await engine.open({ tokens: 20 });
  await session.dispose();
  await session.dispose();
  expect(seen.sessionsDisposed).toBe(1);
  for (const act of [() => kindsOf(session, { prompt: "x" }), () => session.usage(), () => session.fork(), () => session.snapshot()])
    await expect(act()).rejects.toMatchObject({ name: "EngineError", code: "DISPOSED" });
  expect((await other.usage()).capacity).toBe(20);
  await engine.dispose();
  await expect(other.usage()).rejects.toMatchObject({ code: "DISPOSED" });
  await expect(engine.open({ tokens: 20 })).rejects.toMatchObject({ code: "DISPOSED" });
});

test("leaving the loop waits for the end of the turn on the other side", async () => {
  const { session, seen } = await connect();
  for await (const { kind } of session.send({ prompt: "x", maxTokens: 10_000 })) if (kind === "tokens") break;
  expect(seen.ended).toBe(1);
  const { tokens } = await session.usage();
  expect(tokens).toBe(2 + seen.produced);
});

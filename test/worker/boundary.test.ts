// boundary: the engine's interface survives the trip through comlink. Both ends run here, a MessageChannel between them,
// so every message is really cloned; the engine behind it is scripted.

import { expose } from "comlink";
import { afterEach, expect, test, vi } from "vitest";
import type { GenerateEvent, LoadRequest, Progress } from "../../src/engine-types";
import { EngineError, isEngineError } from "../../src/errors";
import { createHost } from "../../workers/engine-host";
import { packError, unpackError } from "../../workers/protocol";
import { loadOver, type RemoteOptions } from "../../workers/remote-engine";
import { createSeen, INFO, loadScripted, type Seen } from "./scripted-engine";

const ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

async function connect(seen: Seen = createSeen(), request: LoadRequest = { model: "tiny" }, options: RemoteOptions = {}) {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  expose(
    createHost((received) => loadScripted(received, seen)),
    port2,
  );
  return { engine: await loadOver(port1, request, options), seen };
}

test("loading reports progress and returns the engine's info", async () => {
  const progress: Progress[] = [];
  const { engine, seen } = await connect(createSeen(), { model: "tiny", context: 32, onProgress: (step) => progress.push(step) });
  expect(engine.info).toEqual(INFO);
  expect(progress.at(-1)).toEqual({ phase: "download", done: 3, total: 3 });
  expect(seen.loads[0]).toMatchObject({ model: "tiny", context: 32 });
});

test("generation streams every event in order, and the result equals what the engine gave", async () => {
  const { engine, seen } = await connect();
  const prefill: Progress[] = [];
  const events: GenerateEvent[] = [];
  for await (const event of engine.generate({ prompt: { text: "x" }, maxTokens: 5, temperature: 0.5, onProgress: (step) => prefill.push(step) }))
    events.push(event);
  expect(events.map((event) => event.kind)).toEqual(["prefilled", "tokens", "tokens", "tokens", "tokens", "tokens", "done"]);
  expect(events.map((event) => (event.kind === "tokens" ? event.text : "")).join("")).toBe("ABCDE");
  expect(prefill).toEqual([{ phase: "prefill", done: 1, total: 1 }]);
  expect(seen.requests[0]).toMatchObject({ prompt: { text: "x" }, maxTokens: 5, temperature: 0.5 });
});

test("the cache map arrives with its typed arrays", async () => {
  const { engine } = await connect();
  let map: unknown;
  for await (const event of engine.generate({ prompt: { text: "x" }, maxTokens: 1, cacheMap: true })) if (event.kind === "done") map = event.result.cacheMap;
  expect(map).toEqual({ tokens: 8, formats: ["k16v16", "k4v4"], layers: [{ heads: [{ positions: Uint32Array.of(0, 7), format: Uint8Array.of(0, 1) }] }] });
});

test("leaving the loop stops the engine on the other side before the loop is left", async () => {
  const { engine, seen } = await connect();
  for await (const event of engine.generate({ prompt: { text: "x" }, maxTokens: 10_000 })) if (event.kind === "tokens") break;
  const produced = seen.produced;
  expect(seen.ended).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(seen.produced).toBe(produced);
  expect(produced).toBeLessThan(100);
});

test("a signal aborts and the partial result still arrives", async () => {
  const { engine, seen } = await connect();
  const controller = new AbortController();
  const events: GenerateEvent[] = [];
  for await (const event of engine.generate({ prompt: { text: "x" }, maxTokens: 10_000, signal: controller.signal })) {
    events.push(event);
    if (event.kind === "tokens" && event.count === 3) controller.abort();
  }
  const done = events.at(-1);
  expect(done?.kind === "done" && done.result.output.finishReason).toBe("abort");
  expect(seen.produced).toBeLessThan(100);
});

test("a signal that fired before the call stops the job too", async () => {
  const { engine, seen } = await connect();
  const events: GenerateEvent[] = [];
  for await (const event of engine.generate({ prompt: { text: "x" }, maxTokens: 10_000, signal: AbortSignal.abort() })) events.push(event);
  expect(events.at(-1)?.kind).toBe("done");
  expect(seen.produced).toBeLessThan(100);
});

test("two jobs run at once without mixing their events", async () => {
  const { engine } = await connect();
  const read = async (maxTokens: number): Promise<number> => {
    let count = 0;
    for await (const event of engine.generate({ prompt: { text: "x" }, maxTokens })) if (event.kind === "tokens") count++;
    return count;
  };
  expect(await Promise.all([read(4), read(9)])).toEqual([4, 9]);
});

test("an engine error keeps code, message and details; events before it are delivered", async () => {
  const { engine } = await connect();
  const kls: number[] = [];
  const reading = (async () => {
    for await (const event of engine.score({ prompt: { ids: [1, 2, 3] }, from: 2 }))
      if (event.kind === "scored") kls.push(...event.tokens.map((token) => token.kl));
  })();
  await expect(reading).rejects.toMatchObject({
    name: "EngineError",
    code: "BAD_LOGITS",
    message: expect.stringContaining("NaN at layer 1"),
    details: { layer: 1 },
  });
  await expect(reading).rejects.toBeInstanceOf(EngineError);
  expect(kls).toEqual([0.25]);
});

test("a failed load rejects with the engine's error", async () => {
  await expect(connect(createSeen(), { model: "missing" })).rejects.toMatchObject({ code: "UNKNOWN_MODEL", details: { found: "missing", expected: ["tiny"] } });
});

test("a foreign error arrives as INTERNAL and names itself", async () => {
  const { engine } = await connect();
  await expect(engine.memory()).rejects.toMatchObject({ code: "INTERNAL", message: expect.stringContaining("TypeError: not an engine error") });
});

test("tokenize and detokenize are inverse through the boundary", async () => {
  const { engine } = await connect();
  const ids = await engine.tokenize({ text: "añ😀" });
  expect((await engine.detokenize(ids)).join("")).toBe("añ😀");
});

test("after dispose the engine is gone, a second dispose is harmless, calls say DISPOSED", async () => {
  const onDispose = vi.fn();
  const { engine, seen } = await connect(createSeen(), { model: "tiny" }, { onDispose });
  await engine.dispose();
  await engine.dispose();
  expect(seen.disposed).toBe(1);
  expect(onDispose).toHaveBeenCalledTimes(1);
  await expect(engine.tokenize({ text: "x" })).rejects.toMatchObject({ code: "DISPOSED" });
});

test("dispose in the middle of a run ends the run", async () => {
  const { engine, seen } = await connect();
  let disposal: Promise<void> | undefined;
  const reading = (async () => {
    for await (const event of engine.generate({ prompt: { text: "x" }, maxTokens: 10_000 })) if (event.kind === "tokens") disposal ??= engine.dispose();
  })();
  await expect(reading).rejects.toMatchObject({ code: "DISPOSED" });
  await disposal;
  expect(seen.ended).toBe(1);
  expect(seen.disposed).toBe(1);
});

test("a dead worker fails the call that waits for it", async () => {
  let die: (error: EngineError) => void = () => {};
  const died = new Promise<EngineError>((resolve) => (die = resolve));
  const { engine } = await connect(createSeen(), { model: "tiny" }, { died });
  const reading = (async () => {
    for await (const event of engine.generate({ prompt: { text: "x" }, maxTokens: 10_000 }))
      if (event.kind === "prefilled") die(new EngineError("INTERNAL", "The worker stopped."));
  })();
  await expect(reading).rejects.toMatchObject({ code: "INTERNAL", message: "The worker stopped." });
});

test("details that cannot be cloned cross as text", () => {
  const error = unpackError(structuredClone(packError(new EngineError("NETWORK", "lost", { retry: () => 1, status: 503 }))));
  expect(isEngineError(error)).toBe(true);
  expect(error.details).toEqual({ retry: "() => 1", status: 503 });
});

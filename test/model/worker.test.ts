// worker: the real engine behind comlink, both ends in this process with a MessageChannel between them, so that every message is cloned.
// The boundary's own rules, on a scripted engine: test/worker.

import { expose } from "comlink";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Engine, GenerateEvent, LoadRequest, Progress } from "../../src/engine-types";
import { createHost } from "../../workers/engine-host";
import { loadOver } from "../../workers/remote-engine";
import { endOf, eventsOf, failureOf, generateAll, goldenTexts, idsOf, loadTiny, scoreAll, type Tap, tapGpu } from "./tiny-engine";

const { short, long } = goldenTexts();
const prompt = { ids: short.ids };

let near: Engine; // in this thread
let far: Engine; // behind the channel
let tap: Tap;
const phases = new Set<string>();
const ports: MessagePort[] = [];

async function connect(request: Partial<LoadRequest>, gpu: GPU): Promise<Engine> {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  expose(
    createHost((received) => loadTiny(received, gpu)),
    port2,
  );
  return loadOver(port1, { model: "tiny", ...request } as LoadRequest);
}

beforeAll(async () => {
  tap = await tapGpu();
  near = await loadTiny({ model: "tiny", context: 1024 } as Partial<LoadRequest>);
  far = await connect({ context: 1024, onProgress: ({ phase }: Progress) => phases.add(phase) }, tap.gpu);
});
afterAll(async () => {
  await near?.dispose();
  await far?.dispose().catch(() => undefined);
  for (const port of ports) port.close();
});

test("the far engine is the near one: info, ids, text, map, drift", async () => {
  expect(far.info).toEqual({ ...near.info, loadMs: expect.any(Number) });
  expect([...phases]).toEqual(["verify", "upload", "compile"]);
  expect(await idsOf(far, { prompt, maxTokens: 32 })).toEqual(short.greedyIds);
  const request = { prompt: { ids: long.ids }, policy: "rate-distortion", budget: { ratio: 0.3 }, maxTokens: 10, cacheMap: true } as const;
  const [here, there] = [await generateAll(near, request), await generateAll(far, request)];
  expect(there).toEqual({ ...here, timings: expect.any(Object) });
  const forced = { prompt: { ids: long.ids.slice(0, 200) }, from: 180, policy: "uniform-4" } as const;
  expect((await scoreAll(far, forced)).tokens).toEqual((await scoreAll(near, forced)).tokens);
  expect(await far.detokenize(await far.tokenize({ text: "añ 😀" }))).toEqual(await near.detokenize(await near.tokenize({ text: "añ 😀" })));
});

test("a signal stops a prompt and an answer on the other side", async () => {
  const idle = await far.memory();
  const inPrompt = new AbortController();
  const error = await failureOf(eventsOf(far.generate({ prompt: { ids: long.ids }, signal: inPrompt.signal, onProgress: () => inPrompt.abort() })));
  expect(error.code).toBe("ABORTED");
  const inAnswer = new AbortController();
  const events: GenerateEvent[] = [];
  for await (const event of far.generate({ prompt, maxTokens: 900, signal: inAnswer.signal })) {
    events.push(event);
    if (event.kind === "tokens") inAnswer.abort();
  }
  const done = events.at(-1);
  expect(done?.kind === "done" && done.result.output.finishReason).toBe("abort");
  for await (const event of far.generate({ prompt, maxTokens: 900 })) if (event.kind === "tokens") break;
  expect(await far.memory()).toEqual({ ...idle, peak: expect.any(Number) });
  expect(await endOf(far, { prompt, maxTokens: 3 })).toBe("length");
});

test("errors keep code and details; the engine goes on", async () => {
  const error = await failureOf(eventsOf(far.generate({ prompt, policy: "rate-distortion", budget: { bytes: 5000 } })));
  expect(error).toMatchObject({ code: "BUDGET_TOO_SMALL", details: { found: 5000, expected: expect.any(Number) } });
  expect((await failureOf(eventsOf(far.score({ prompt, from: 99 })))).code).toBe("BAD_OPTION");
  expect(await idsOf(far, { prompt, maxTokens: 4 })).toEqual(short.greedyIds.slice(0, 4));
});

test("a failed load keeps its code; a lost device is told; what comes after dispose says DISPOSED", async () => {
  expect((await failureOf(connect({ context: 1 }, tap.gpu))).code).toBe("BAD_OPTION");
  const doomed = await tapGpu();
  const lost = await connect({ context: 1024 }, doomed.gpu);
  const run = (async () => {
    for await (const event of lost.generate({ prompt, maxTokens: 900 })) if (event.kind === "tokens") doomed.device().destroy();
  })();
  expect((await failureOf(run)).code).toBe("DEVICE_LOST");
  await lost.dispose();
  expect((await failureOf(eventsOf(lost.generate({ prompt })))).code).toBe("DISPOSED");
});

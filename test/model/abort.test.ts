// abort: a request ends at any point, by its signal, by leaving the loop or with the engine; nothing of it stays, and others go on.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { CacheOptions, Engine, GenerateEvent, MemoryReport, Progress } from "../../src/engine-types";
import { eventsOf, failureOf, generateAll, goldenTexts, idsOf, loadTiny, scoreAll, TINY, tapGpu } from "./tiny-engine";

const { short, long } = goldenTexts();
const compressed: CacheOptions = { policy: "rate-distortion", budget: { ratio: 0.5 } };
const prompt = { ids: long.ids };

let engine: Engine;
let idle: MemoryReport;
beforeAll(async () => {
  engine = await loadTiny();
  idle = await engine.memory();
});
afterAll(() => engine?.dispose());

/** Nothing of the last request is left, and the next one is answered as ever. */
async function expectUnharmed(): Promise<void> {
  expect(await engine.memory()).toEqual({ ...idle, peak: expect.any(Number) });
  expect(await idsOf(engine, { prompt: { ids: short.ids }, maxTokens: 8 })).toEqual(short.greedyIds.slice(0, 8));
}

describe.each([{ policy: "full" } as CacheOptions, compressed])("with policy $policy", (cache) => {
  test("a signal that has fired already", async () => {
    const progress: Progress[] = [];
    const error = await failureOf(eventsOf(engine.generate({ ...cache, prompt, signal: AbortSignal.abort(), onProgress: (step) => progress.push(step) })));
    expect(error.code).toBe("ABORTED");
    expect(progress).toEqual([]);
    expect((await failureOf(eventsOf(engine.score({ ...cache, prompt, from: 500, signal: AbortSignal.abort() })))).code).toBe("ABORTED");
    await expectUnharmed();
  });

  test.for([1, 3, 9])("a signal after chunk %i of the prompt: no further chunk is run", async (chunks) => {
    for (const run of [
      (signal: AbortSignal, onProgress: (step: Progress) => void) => eventsOf<unknown>(engine.generate({ ...cache, prompt, signal, onProgress })),
      (signal: AbortSignal, onProgress: (step: Progress) => void) => eventsOf<unknown>(engine.score({ ...cache, prompt, from: 500, signal, onProgress })),
    ]) {
      const controller = new AbortController();
      const progress: Progress[] = [];
      const error = await failureOf(
        run(controller.signal, (step) => {
          progress.push(step);
          if (progress.length === chunks) controller.abort();
        }),
      );
      expect(error.code).toBe("ABORTED");
      expect(progress).toHaveLength(chunks);
      await expectUnharmed();
    }
  });

  test("a signal while a cut prompt's rest comes in token by token", async () => {
    const controller = new AbortController();
    const error = await failureOf(
      eventsOf(
        engine.generate({
          ...cache,
          prompt,
          from: 200,
          signal: controller.signal,
          onProgress: ({ done, total }) => done === total && setImmediate(() => controller.abort()),
        }),
      ),
    );
    expect(error.code).toBe("ABORTED");
    await expectUnharmed();
  });

  test("a signal while decoding: the tokens so far are the result", async () => {
    const controller = new AbortController();
    const events: GenerateEvent[] = [];
    for await (const event of engine.generate({ ...cache, prompt, maxTokens: 100, signal: controller.signal })) {
      events.push(event);
      if (event.kind === "tokens" && event.count === 3) controller.abort();
    }
    const done = events.at(-1);
    expect(done?.kind === "done" && done.result.output).toMatchObject({ finishReason: "abort", ids: { length: 3 } });
    await expectUnharmed();
  });

  test("a signal between the prompt and the first token", async () => {
    const controller = new AbortController();
    const events: GenerateEvent[] = [];
    for await (const event of engine.generate({ ...cache, prompt, maxTokens: 100, signal: controller.signal })) {
      events.push(event);
      if (event.kind === "prefilled") controller.abort();
    }
    const done = events.at(-1);
    expect(done?.kind === "done" && done.result.output.finishReason).toBe("abort");
    expect(done?.kind === "done" && done.result.output.ids.length).toBeLessThanOrEqual(1);
    await expectUnharmed();
  });

  test.for(["prefilled", "tokens", "done"] as const)("leaving the loop at %s", async (kind) => {
    for await (const event of engine.generate({ ...cache, prompt: { ids: long.ids.slice(0, 150) }, maxTokens: 20 })) if (event.kind === kind) break;
    await expectUnharmed();
  });

  test("leaving a score's loop, and a signal within it", async () => {
    for await (const event of engine.score({ ...cache, prompt, from: 480 })) if (event.kind === "scored") break;
    await expectUnharmed();
    const controller = new AbortController();
    const scoring = (async () => {
      for await (const _ of engine.score({ ...cache, prompt, from: 480, signal: controller.signal })) controller.abort();
    })();
    expect((await failureOf(scoring)).code).toBe("ABORTED");
    await expectUnharmed();
  });
});

describe("two at a time", () => {
  test("each gives the tokens it gives alone", async () => {
    const requests = [
      { prompt: { ids: short.ids }, maxTokens: 40, temperature: 0.9, seed: 5 },
      { ...compressed, prompt, maxTokens: 40 },
      { policy: "uniform-4", prompt: { ids: long.ids.slice(100, 300) }, from: 150, maxTokens: 40, temperature: 1, topK: 40, seed: 6 },
    ] as const;
    const alone = [];
    for (const request of requests) alone.push(await idsOf(engine, request));
    expect(await Promise.all(requests.map((request) => idsOf(engine, request)))).toEqual(alone);
    await expectUnharmed();
  });

  test("a score beside a generation, drift unmoved", async () => {
    const request = { ...compressed, prompt: { ids: long.ids.slice(0, 300) }, from: 260 };
    const alone = await scoreAll(engine, request);
    const [score, ids] = await Promise.all([scoreAll(engine, request), idsOf(engine, { prompt: { ids: short.ids }, maxTokens: 32 })]);
    expect(score.tokens).toEqual(alone.tokens);
    expect(ids).toEqual(short.greedyIds);
  });

  test("one is aborted in its prompt, the other goes on", async () => {
    const controller = new AbortController();
    const doomed = failureOf(
      generateAll(engine, { ...compressed, prompt, signal: controller.signal, onProgress: ({ done }) => done > 600 && controller.abort() }),
    );
    expect(await idsOf(engine, { prompt: { ids: short.ids }, maxTokens: 32 })).toEqual(short.greedyIds);
    expect((await doomed).code).toBe("ABORTED");
    await expectUnharmed();
  });
});

describe("dispose", () => {
  let other: Engine;
  beforeEach(async () => {
    other = await loadTiny({ context: 1024 });
  });

  test("twice is harmless; what comes after says DISPOSED; other engines live on", async () => {
    await other.dispose();
    await other.dispose();
    const calls = [
      eventsOf<unknown>(other.generate({ prompt })),
      eventsOf<unknown>(other.score({ prompt, from: 3 })),
      other.tokenize({ text: "x" }),
      other.detokenize([1]),
      other.memory(),
    ];
    for (const call of calls) expect((await failureOf(call)).code).toBe("DISPOSED");
    await expectUnharmed();
  });

  test.for(["prefill", "prefilled", "tokens"] as const)("in the middle of a request (%s) ends it", async (point) => {
    const reading = (async () => {
      for await (const event of other.generate({
        ...compressed,
        prompt,
        maxTokens: 50,
        onProgress: ({ done }) => point === "prefill" && done > 500 && void other.dispose(),
      }))
        if (event.kind === point) void other.dispose();
    })();
    expect((await failureOf(reading)).code).toBe("DISPOSED");
    await expectUnharmed();
  });
});

describe("load", () => {
  test.for(["verify", "upload", "compile"] as const)("a signal during %s ends it", async (phase) => {
    const controller = new AbortController();
    const seen = new Set<string>();
    const tap = await tapGpu();
    const onProgress = (step: Progress): void => {
      seen.add(step.phase);
      if (step.phase === phase) controller.abort();
    };
    const error = await failureOf(loadTiny({ signal: controller.signal, onProgress }, tap.gpu));
    expect(error.code).toBe("ABORTED");
    expect((await tap.device().lost).reason).toBe("destroyed"); // and with it every buffer
    expect(seen, `${TINY} passes through ${phase}`).toContain(phase);
    await expectUnharmed();
  });
});

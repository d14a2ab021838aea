// engine: what a caller is promised of generate() and score() on the bundled model: tokens, ends, memory, cost, drift.
// Leaves to others: interruptions (abort.test.ts), bad input (bad-input.test.ts), single logits (logits.test.ts).

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fullBytesPerToken } from "../../src/cache/page-layout";
import type { CacheMap, CacheOptions, Engine, KvReport } from "../../src/engine-types";
import { resolvePolicy } from "../../src/policy/policy";
import { expectClose, tolerances } from "../tolerances";
import { endOf, eventsOf, generateAll, goldenTexts, idsOf, loadTiny, scoreAll } from "./tiny-engine";

const { short, long } = goldenTexts();
const documents = JSON.parse(readFileSync("test/golden/tiny-documents.json", "utf8")) as {
  prompt: number[];
  facts: { question: number[]; answer: number[] }[];
}[];
const RATIO = 0.4;
const POLICIES: readonly CacheOptions[] = [
  { policy: "full" },
  { policy: "uniform-8" },
  { policy: "uniform-4" },
  { policy: "expected-attention", budget: { ratio: RATIO } },
  { policy: "rate-distortion", budget: { ratio: RATIO } },
];
const SINKS = 4;
const RING = 16;

let engine: Engine;
beforeAll(async () => {
  engine = await loadTiny();
});
afterAll(() => engine?.dispose());

describe("tokens", () => {
  test.for([short, long])("greedy ids are PyTorch's, with and without a seed", async (text) => {
    const prompt = { ids: text.ids };
    expect(await idsOf(engine, { prompt, maxTokens: 32 })).toEqual(text.greedyIds);
    expect(await idsOf(engine, { prompt, maxTokens: 32, temperature: 0, seed: 9 })).toEqual(text.greedyIds);
  });

  test.for(POLICIES)("the same seed, prompt and policy give the same tokens: $policy", async (cache) => {
    const request = { ...cache, prompt: { ids: long.ids.slice(0, 150) }, maxTokens: 40, temperature: 1, topP: 0.95, seed: 7 };
    const ids = await idsOf(engine, request);
    expect(await idsOf(engine, request)).toEqual(ids);
    expect(await idsOf(engine, { ...request, seed: 8 })).not.toEqual(ids);
  });

  test("every seed draws its own first token and its own later ones", async () => {
    const draws = [];
    for (let seed = 0; seed < 8; seed++) draws.push(await idsOf(engine, { prompt: { ids: short.ids }, maxTokens: 2, temperature: 3, seed }));
    // At temperature 3 the likeliest token has a few percent: eight draws that agree mean that nothing was drawn.
    for (const index of [0, 1]) expect(new Set(draws.map((ids) => ids[index])).size).toBeGreaterThan(4);
  });

  test.for([1, 3, 4, 5, 12, 13, 63])("a prompt cut at %i, the rest token by token, gives the same greedy ids under full", async (from) => {
    expect(await idsOf(engine, { prompt: { ids: short.ids }, from, maxTokens: 32 })).toEqual(short.greedyIds);
  });

  test("the pieces of text make up the output, the events count the tokens", async () => {
    const events = await eventsOf(engine.generate({ prompt: { text: "The president said “über” — 東京 🎉" }, maxTokens: 30, temperature: 1.2, seed: 3 }));
    const tokens = events.flatMap((event) => (event.kind === "tokens" ? [event] : []));
    const done = events.at(-1);
    if (done?.kind !== "done") return expect.fail("no result");
    expect(events[0]?.kind).toBe("prefilled");
    expect(tokens.map(({ text }) => text).join("")).toBe(done.result.output.text);
    expect(tokens.flatMap(({ ids }) => ids)).toEqual(done.result.output.ids);
    expect(tokens.map(({ count }) => count)).toEqual(tokens.map((_, index) => index + 1));
    expect((await engine.detokenize(done.result.output.ids)).join("").startsWith(done.result.output.text)).toBe(true);
  });
});

describe("ends", () => {
  test("length", async () => {
    const { output } = await generateAll(engine, { prompt: { ids: short.ids }, maxTokens: 5 });
    expect(output).toMatchObject({ finishReason: "length", ids: short.greedyIds.slice(0, 5) });
  });

  test("the end-of-turn token stops, and is no text", async () => {
    const { prompt = [], facts = [] } = documents[0] ?? {};
    const question = facts[0]?.question ?? [];
    const { output } = await generateAll(engine, { prompt: { ids: [...prompt.slice(0, 300), ...question] }, maxTokens: 200 });
    expect(output.finishReason).toBe("stop");
    expect(output.ids.slice(-1)).toEqual(await engine.tokenize({ text: "<|end|>" }));
    expect(output.text).toBe((await engine.detokenize(output.ids.slice(0, -1))).join(""));
    expect(output.ids.length).toBeLessThan(200);
  });

  test("a stop string across tokens ends the output in front of it", async () => {
    const request = { prompt: { ids: short.ids }, maxTokens: 32 };
    const whole = (await generateAll(engine, request)).output;
    const pieces = await engine.detokenize(whole.ids);
    const cut = (pieces.slice(0, 6).join("").length + pieces.slice(0, 7).join("").length) >> 1; // within the seventh token
    const stop = whole.text.slice(cut - 4, cut + 4);
    const { output } = await generateAll(engine, { ...request, stop: ["never there", stop] });
    expect(output.finishReason).toBe("stop");
    expect(output.text).toBe(whole.text.slice(0, whole.text.indexOf(stop)));
    expect(output.ids).toEqual(whole.ids.slice(0, output.ids.length));
    expect(output.ids.length).toBeLessThan(whole.ids.length);
  });

  test("context, at the last position prepared for", async () => {
    const small = await loadTiny({ context: 80 });
    const { output } = await generateAll(small, { prompt: { ids: short.ids }, maxTokens: 100 });
    expect(output).toMatchObject({ finishReason: "context", ids: short.greedyIds.slice(0, 16) });
    expect(await endOf(small, { prompt: { ids: long.ids.slice(0, 79) } })).toBe("context");
    expect(await endOf(small, { prompt: { ids: short.ids }, maxTokens: 15 })).toBe("length");
    await small.dispose();
  });
});

describe("cost of a token", () => {
  test.for(POLICIES)("one submit, nothing created, ten dispatches a layer, on average with everything: $policy", async (cache) => {
    const { layers } = engine.info.model;
    // At this length sinks, ring and one page per head take more than RATIO.
    const request = { ...cache, prompt: { ids: short.ids }, ...(cache.budget ? { budget: { ratio: 1 } } : {}) };
    const { perToken } = await generateAll(engine, { ...request, maxTokens: 65 });
    expect(perToken).toMatchObject({ submits: 1, objectsCreated: 0 });
    expect(perToken.dispatches / layers).toBeLessThanOrEqual(10); // token-cost.test.ts counts every token for itself
  });
});

describe("memory", () => {
  test.for(POLICIES)("the cache is what its map says, within its budget: $policy", async (cache) => {
    const { layers, kvHeads, headSize } = engine.info.model;
    const maxTokens = 50;
    const { kv, cacheMap, prompt } = await generateAll(engine, { ...cache, prompt: { ids: long.ids }, maxTokens, cacheMap: true });
    if (!cacheMap) return expect.fail("no cache map");
    const perToken = fullBytesPerToken({ layers, kvHeads, headSize });
    // The newest token is sampled and not run; none more than was asked for is.
    expect(cacheMap.tokens).toBe(prompt.tokens + maxTokens - 1);
    expect(kv.fullBytes).toBe(cacheMap.tokens * perToken);
    if (cache.budget) expect(kv.bytes).toBeLessThanOrEqual(RATIO * perToken * (prompt.tokens + maxTokens));
    expect(kv.peakBytes).toBeGreaterThan(kv.bytes);
    expectConsistent(kv, cacheMap, cache);
  });

  test("bytes of a policy as options say, in a budget of bytes, pinned tokens included", async () => {
    const pinned: [number, number][] = [[100, 120]];
    const bytes = 300_000;
    const { kv, cacheMap } = await generateAll(engine, {
      policy: { score: { kind: "ensemble" }, budget: { kind: "ada" }, precision: { kind: "tiers", formats: ["k2v2", "k8v8"] }, pinned },
      budget: { bytes },
      prompt: { ids: long.ids },
      maxTokens: 20,
      cacheMap: true,
    });
    expect(kv.bytes).toBeLessThanOrEqual(bytes);
    for (const { heads } of cacheMap?.layers ?? [])
      for (const { positions, format } of heads) {
        const formats = new Map(Array.from(positions, (position, index) => [position, cacheMap?.formats[format[index] ?? -1]]));
        for (let position = 100; position < 120; position++) expect(formats.get(position), `position ${position}`).toBe("k8v8");
      }
  });

  test("once the prompt is in, its staging buffers are gone", async () => {
    for (const cache of POLICIES)
      for await (const { kind } of engine.generate({ ...cache, prompt: { ids: long.ids.slice(0, 200) }, maxTokens: 3 })) {
        const { staging, kv } = await engine.memory();
        expect({ kind, staging }).toEqual({ kind, staging: 0 });
        expect(kv).toBeGreaterThan(0);
      }
  });

  test("the peak of a request is its own; one that begins meanwhile does not hide it", async () => {
    const request = { prompt: { ids: long.ids }, maxTokens: 20 };
    const small = { prompt: { ids: short.ids }, maxTokens: 4 };
    const alone = (await generateAll(engine, request)).kv.peakBytes; // reached in the prompt
    expect((await generateAll(engine, small)).kv.peakBytes).toBeLessThan(alone);
    for await (const event of engine.generate(request)) {
      if (event.kind === "prefilled") await generateAll(engine, small);
      if (event.kind === "done") expect(event.result.kv.peakBytes).toBeGreaterThanOrEqual(alone);
    }
  });

  test("after each request only weights and the engine's own buffers are there", async () => {
    const before = await engine.memory();
    expect(before).toMatchObject({ kv: 0, staging: 0, readback: 0 });
    for (const cache of POLICIES) await generateAll(engine, { ...cache, prompt: { ids: long.ids.slice(0, 200) }, maxTokens: 3, cacheMap: true });
    await scoreAll(engine, { policy: "uniform-4", prompt: { ids: short.ids }, from: 32, cacheMap: true });
    expect(await engine.memory()).toEqual({ ...before, peak: expect.any(Number) });
  });
});

describe("score", () => {
  test.for([
    { text: short, from: 1 },
    { text: short, from: 33 },
    { text: long, from: 448 },
  ])("under full both caches agree, and with PyTorch", async ({ text, from }) => {
    const events = await eventsOf(engine.score({ prompt: { ids: text.ids }, from }));
    const done = events.at(-1);
    if (done?.kind !== "done") return expect.fail("no result");
    const { tokens, meanKl, top1Agreement } = done.result;
    expect(events.flatMap((event) => (event.kind === "scored" ? event.tokens : []))).toEqual(tokens);
    expect(tokens.map(({ id }) => id)).toEqual(text.ids.slice(from));
    for (const { kl } of tokens) expect(Math.abs(kl)).toBeLessThan(1e-6);
    expect(meanKl).toBeLessThan(1e-6);
    expect(top1Agreement).toBe(1);
    const want = text.ids.slice(from).map((_, index) => (text.nextLogits[from - 1 + index] ?? Number.NaN) - (text.logSumExp[from - 1 + index] ?? Number.NaN));
    expectClose(
      tokens.map(({ fullLogprob }) => fullLogprob),
      want,
      tolerances.tinyLogits,
    );
    expectClose(
      tokens.map(({ logprob }) => logprob),
      want,
      tolerances.tinyLogits,
    );
    expect(tokens.map(({ fullFirst }) => fullFirst)).toEqual(text.ids.slice(from).map((_, index) => text.top(from - 1 + index)[0]?.[0]));
  });

  test("fewer bits drift further from the full cache, which does not move", async () => {
    const request = { prompt: { ids: long.ids }, from: 448 };
    const results = [];
    for (const policy of ["uniform-8", "uniform-4"] as const) results.push(await scoreAll(engine, { ...request, policy }));
    results.push(await scoreAll(engine, { ...request, policy: { precision: { kind: "uniform", format: "k2v2" } } }));
    const [eight, four, two] = results.map(({ meanKl }) => meanKl);
    expect(eight).toBeGreaterThan(0);
    expect(four).toBeGreaterThan(eight ?? Number.NaN);
    expect(two).toBeGreaterThan(four ?? Number.NaN);
    for (const { tokens } of results) expect(tokens.map(({ fullLogprob }) => fullLogprob)).toEqual(results[0]?.tokens.map(({ fullLogprob }) => fullLogprob));
    // The mean of the per-token figures, the first of which comes from the prompt itself.
    for (const { tokens, meanKl, top1Agreement } of results) {
      expect(meanKl).toBeCloseTo(tokens.reduce((sum, { kl }) => sum + kl, 0) / tokens.length, 12);
      expect(top1Agreement).toBe(tokens.filter(({ first, fullFirst }) => first === fullFirst).length / tokens.length);
    }
  });

  test("one submit a token while forcing, nothing created", async () => {
    const { perToken } = await scoreAll(engine, { policy: "rate-distortion", budget: { ratio: RATIO }, prompt: { ids: long.ids.slice(0, 200) }, from: 150 });
    expect(perToken).toMatchObject({ submits: 1, objectsCreated: 0 });
  });
});

/** Sinks and the newest tokens are there unquantized, positions are sorted and known, sums agree; policies without a budget keep everything. */
function expectConsistent(kv: KvReport, map: CacheMap, { policy, budget }: CacheOptions): void {
  const { layers, kvHeads } = engine.info.model;
  expect(map.layers.map(({ heads }) => heads.length)).toEqual(Array(layers).fill(kvHeads));
  const heads = map.layers.flatMap((layer) => layer.heads);
  const counts = new Map<string, number>();
  for (const { positions, format } of heads) {
    expect(format.length).toBe(positions.length);
    const byPosition = new Map(Array.from(positions, (position, index) => [position, map.formats[format[index] ?? -1] ?? "none"]));
    expect(byPosition.size, "a position twice").toBe(positions.length);
    expect([...positions], "sorted").toEqual([...positions].sort((a, b) => a - b));
    expect(positions.at(-1)).toBe(map.tokens - 1);
    const raw = [...Array(SINKS).keys(), ...Array.from({ length: RING / 2 }, (_, index) => map.tokens - 1 - index)];
    for (const position of raw) expect(byPosition.get(position), `position ${position}`).toBe(resolvePolicy(policy).ringBits === 8 ? "k8v8" : "k16v16");
    for (const name of byPosition.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const kept = heads.reduce((sum, { positions }) => sum + positions.length, 0);
  expect(kv.slotsKept).toBe(kept);
  expect(kv.slotsKept + kv.slotsEvicted).toBe(map.tokens * layers * kvHeads);
  expect([...counts.values()].reduce((a, b) => a + b)).toBe(kept);
  if (!budget) expect(kv.slotsEvicted).toBe(0);
  if (policy === "expected-attention") expect([...counts.keys()]).toEqual(["k16v16"]);
  const bytes = Object.values(kv.bytesByFormat).reduce((a, b) => a + b, 0);
  expect(bytes).toBeLessThanOrEqual(kv.bytes);
  expect(bytes).toBeGreaterThan(0);
}

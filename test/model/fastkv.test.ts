// fastkv: part of a prompt's tokens go on alone from the middle of the model. All of them going on changes nothing; a part keeps its true positions, and decoding goes on.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { ToolEngine } from "../../src/engine";
import type { GenerateRequest, PolicySpec } from "../../src/engine-types";
import { loadInNode } from "../../src/node/load-in-node";
import { PRESETS } from "../../src/policy/presets";
import { eventsOf, failureOf, generateAll, goldenTexts, scoreAll, sendAll } from "./tiny-engine";

let engine: ToolEngine;
beforeAll(async () => {
  engine = await loadInNode({ model: "tiny" });
});
afterAll(() => engine.dispose());

const ids = goldenTexts().long.ids; // 512: several chunks
const SNAPKV = { score: { kind: "snapkv", window: 8, pool: 7 }, budget: { kind: "uniform" }, precision: { kind: "evict-only" } } as const satisfies PolicySpec;
const BUDGET = { ratio: 0.3 } as const;

test.each<[string, PolicySpec]>([
  ["fastkv's own", SNAPKV],
  ["lacuna", PRESETS.lacuna.spec],
  ["sparse tiers, heads that compete", { score: { kind: "h2o" }, budget: { kind: "ada" }, precision: { kind: "agacc", bits: [4, 8], prune: { most: 0.9 } } }],
  ["re-evaluated", { ...SNAPKV, score: { kind: "expected-attention" }, reevaluate: { every: 8 } }],
])("all tokens going on is the ordinary pass, bit by bit: %s", async (_, spec) => {
  const request = { prompt: { ids }, budget: BUDGET, maxTokens: 24, cacheMap: true } as const;
  const plain = await generateAll(engine, { ...request, policy: spec });
  const narrowed = await generateAll(engine, { ...request, policy: { ...spec, propagate: { rate: 1 } } });
  expect(narrowed.output.ids).toEqual(plain.output.ids);
  expect(narrowed.cacheMap).toEqual(plain.cacheMap);
  expect(narrowed.kv.bytes).toBe(plain.kv.bytes);
});

test("forced through the same tokens, all going on drifts just as far as the ordinary pass", async () => {
  const request = { prompt: { ids }, from: 400, budget: BUDGET } as const;
  const plain = await scoreAll(engine, { ...request, policy: SNAPKV });
  const narrowed = await scoreAll(engine, { ...request, policy: { ...SNAPKV, propagate: { rate: 1 } } });
  expect(narrowed.tokens).toEqual(plain.tokens);
});

test("the preset: 10 % where no budget is given; layers above the middle hold at most a fifth, the same tokens to choose from for all heads", async () => {
  const { kv, cacheMap, output } = await generateAll(engine, { prompt: { ids }, policy: "fastkv", maxTokens: 40, cacheMap: true });
  expect(output.ids.length).toBe(40);
  expect(kv.bytes).toBeLessThanOrEqual((0.1 * kv.fullBytes * (ids.length + 40)) / (ids.length + 39)); // the last token is never run, but has its room
  const layers = cacheMap?.layers ?? [];
  const later = layers.slice(layers.length / 2).flatMap(({ heads }) => heads.flatMap(({ positions }) => [...positions]));
  expect(new Set(later.filter((position) => position < ids.length)).size).toBeLessThanOrEqual(0.2 * ids.length);
  for (const { heads } of layers) for (const { positions } of heads) expect([...positions.subarray(0, 4)]).toEqual([0, 1, 2, 3]);
});

test("with room for everything, later layers hold just what went on; then all that is said", async () => {
  const { cacheMap } = await generateAll(engine, { prompt: { ids }, policy: "fastkv", budget: { bytes: 8 << 20 }, maxTokens: 40, cacheMap: true });
  const layers = cacheMap?.layers ?? [];
  const held = layers.map(({ heads }) => heads.map(({ positions }) => positions.filter((position) => position < ids.length).length));
  for (const [layer, heads] of held.entries())
    for (const count of heads) expect(count).toBe(layer < layers.length / 2 ? ids.length : Math.floor(0.2 * ids.length));
});

test("in a comparison it has a pass of its own: it scores as alone, and so do the others", async () => {
  const request = { prompt: { ids }, from: 480 } as const;
  const caches = [
    { policy: SNAPKV, budget: BUDGET },
    { policy: "fastkv", budget: BUDGET },
    { policy: "tova", budget: BUDGET },
  ] as const;
  const together = await engine.scoreMany({ ...request, caches });
  for (const [index, cache] of caches.entries()) {
    const alone = await scoreAll(engine, { ...request, ...cache });
    expect(together.caches[index]?.tokens).toEqual(alone.tokens);
  }
  expect(together.caches[0]?.tokens[0]?.kl).toBe(0); // of the prompt's last logits, which both read from all of the prompt
  expect(together.caches[1]?.tokens[0]?.logprob).not.toBe(together.caches[1]?.tokens[0]?.fullLogprob); // these read less of it
});

test("progress rises to its end by the rows that go through layers; an abort on the way leaves nothing", async () => {
  const seen: number[] = [];
  let total = 0;
  const onProgress = (progress: { readonly done: number; readonly total: number }): void => {
    seen.push(progress.done);
    total = progress.total;
  };
  await generateAll(engine, { prompt: { ids }, policy: "fastkv", maxTokens: 1, onProgress });
  const layers = engine.info.model.layers;
  expect(total).toBe((layers / 2) * (ids.length + Math.floor(0.2 * ids.length)));
  expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(total);
  const abort = new AbortController();
  const stopAt = (total * 9) / 10; // among the layers that see a part
  const request = { prompt: { ids }, policy: "fastkv", maxTokens: 1, signal: abort.signal } as const;
  const aborted = eventsOf(engine.generate({ ...request, onProgress: ({ done }) => void (done > stopAt && abort.abort()) }));
  expect((await failureOf(aborted)).code).toBe("ABORTED");
  const memory = await engine.memory();
  expect([memory.kv, memory.staging]).toEqual([0, 0]);
});

test("a conversation goes on over it, and what a model or request cannot bear is refused", async () => {
  const session = await engine.open({ policy: "fastkv", budget: { ratio: 0.25 }, tokens: 600 });
  await sendAll(session, { prompt: { ids: ids.slice(0, 400) }, maxTokens: 8 });
  const fork = await session.fork();
  const [one, other] = [
    await sendAll(session, { prompt: { ids: ids.slice(400, 430) }, maxTokens: 24 }),
    await sendAll(fork, { prompt: { ids: ids.slice(400, 430) }, maxTokens: 24 }),
  ];
  expect(other.output.ids).toEqual(one.output.ids);
  await session.dispose();
  await fork.dispose();
  const refused = (request: Partial<GenerateRequest>) => failureOf(eventsOf(engine.generate({ prompt: { ids }, maxTokens: 1, budget: BUDGET, ...request })));
  const above = await refused({ policy: { ...SNAPKV, propagate: { layer: engine.info.model.layers - 1 } } });
  expect([above.code, above.details?.field]).toEqual(["BAD_OPTION", "propagate.layer"]);
  const cold = await refused({ policy: "fastkv", cold: { maxBytes: 1 << 20 } });
  expect([cold.code, cold.details?.field]).toEqual(["BAD_OPTION", "cold"]);
});

test.each([1, 3, 5, 13, 14, 70])("a prompt of %d tokens", async (tokens) => {
  const { output } = await generateAll(engine, { prompt: { ids: ids.slice(0, tokens) }, policy: "fastkv", budget: { bytes: 1 << 20 }, maxTokens: 20 });
  expect(output.ids.length).toBe(20);
});

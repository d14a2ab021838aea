// session-cache: what lies under a session: a cache gone back to is the same bit by bit, one made empty holds nothing of before, a copy has all that
// a cache remembers, and tokens taken back leave every other token where it was.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CacheSnapshot, copyCache } from "../../src/cache/cache-snapshot";
import type { KvCache } from "../../src/cache/kv-cache";
import type { CacheOptions, PolicySpec } from "../../src/engine-types";
import { resolveSampling } from "../../src/generate/sampling-options";
import type { Gpu } from "../../src/gpu/device";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import type { Transformer } from "../../src/model/transformer";
import { checkPages, readWords, ringStartOf, slotFormats } from "../kernels/cache-checks";
import { type CacheWords, slotsInPages } from "../reference/page-table";
import { seeded } from "../reference/scoring-case";
import { openTransformer } from "./tiny-engine";

const TOKENS = 500;
const budget = { ratio: 0.3 };
const CACHES: readonly CacheOptions[] = [
  { policy: "full" },
  { policy: "uniform-4" },
  { policy: "lacuna", budget },
  { policy: "h2o", budget },
  { policy: { precision: { kind: "tiers" }, schedule: { kind: "budget" }, ring: 5 }, budget },
  { policy: { precision: { kind: "evict-only" }, score: { kind: "knorm" }, budget: { kind: "global" }, schedule: { kind: "every", tokens: 20 } }, budget },
  { policy: { precision: { kind: "evict-only" }, score: { kind: "tova" }, markers: { count: 4 } }, budget },
  { policy: { precision: { kind: "uniform", format: "k16v16" }, read: { kind: "rocket", tokens: 40, turn: {} } } },
  { policy: { score: { kind: "attention-history" }, precision: { kind: "agacc" }, reevaluate: { every: 16 }, pinned: [[20, 32]] }, budget },
];

let gpu: Gpu;
let transformer: Transformer;
beforeAll(async () => {
  ({ gpu, transformer } = await openTransformer(TOKENS));
});
afterAll(() => gpu?.dispose());

const idsFrom = (seed: number, count: number): number[] => {
  const random = seeded(seed);
  return Array.from({ length: count }, () => Math.floor(random() * transformer.config.vocab));
};

/** A sequence, and what takes tokens into it. */
function open(options: CacheOptions) {
  const sequence = new Sequence(transformer, options, TOKENS);
  let decoder: Decoder | undefined;
  return {
    sequence,
    cache: sequence.cache,
    prompt: async (ids: readonly number[]) => prefill(transformer, ids, [sequence.target()], { step: {}, record: () => {} }),
    async say(ids: readonly number[]) {
      decoder ??= new Decoder(transformer, sequence.cache, resolveSampling({}), []);
      for (const id of ids) decoder.force(id);
      await gpu.idle();
    },
    dispose() {
      decoder?.dispose();
      sequence.dispose();
    },
  };
}

/** Every word that a cache remembers. */
async function bitsOf({ buffers }: KvCache): Promise<Uint32Array[]> {
  const bits: Uint32Array[] = [];
  for (const buffer of buffers.kept) bits.push(new Uint32Array(await gpu.read(buffer)));
  return bits;
}

/** By label, the first word that differs; a million words are not for a matcher. */
function differences(cache: KvCache, got: readonly Uint32Array[], want: readonly Uint32Array[]): string[] {
  expect(got.map(({ length }) => length)).toEqual(want.map(({ length }) => length));
  return got.flatMap((words, index) => {
    const at = words.findIndex((word, word0) => word !== want[index]?.[word0]);
    return at < 0 ? [] : [`${cache.buffers.kept[index]?.label} at ${at}: ${words[at]}, not ${want[index]?.[at]}`];
  });
}

/** Every page in one place; every token in the ring or before it: then in no page twice, and under a policy that drops none, in one. */
function expectInPlace(words: CacheWords, tokens: number): void {
  checkPages(words);
  const { sinks, ring, mode } = words.policy;
  for (const [layer, heads] of slotFormats(words).entries()) {
    const start = ringStartOf(words, layer);
    expect(start).toBeLessThanOrEqual(tokens);
    expect(tokens - start).toBeLessThanOrEqual(ring);
    for (const head of heads) {
      for (const position of head.keys())
        if (position < sinks || position >= start) expect.fail(`position ${position} is in pages, the ring begins at ${start}`);
      if (mode === "static") expect(head.size).toBe(start - sinks);
    }
  }
}

describe.each(CACHES)("$policy", (options) => {
  test("everything that a budget pays for is copied", () => {
    const { cache, dispose } = open(options);
    expect(cache.buffers.kept.reduce((sum, { size }) => sum + size, 0)).toBe(cache.bytes);
    dispose();
  });

  test("after a question and the way back every bit is what it was, and what follows is what would have", async () => {
    const side = open(options);
    await side.prompt(idsFrom(1, 150));
    await side.say(idsFrom(2, 5)); // few: what the ring counts depends on where decoding began
    const before = await bitsOf(side.cache);
    const never = side.sequence.fork();
    expect(differences(never.cache, await bitsOf(never.cache), before)).toEqual([]);
    const mark = new CacheSnapshot(gpu, side.cache, "Test.mark");
    await side.say(idsFrom(3, 90));
    expect(differences(side.cache, await bitsOf(side.cache), before)).not.toEqual([]);
    mark.restore(side.cache);
    expect(differences(side.cache, await bitsOf(side.cache), before)).toEqual([]);
    expect(side.cache.state).toEqual(never.cache.state);
    const decoder = new Decoder(transformer, never.cache, resolveSampling({}), []);
    for (const id of idsFrom(4, 60)) decoder.force(id);
    await side.say(idsFrom(4, 60));
    expect(differences(side.cache, await bitsOf(side.cache), await bitsOf(never.cache))).toEqual([]);
    mark.dispose();
    never.dispose();
    side.dispose();
  });

  test("made empty, with a shorter text it is as one that never held another", async () => {
    const side = open(options);
    await side.prompt(idsFrom(1, 250));
    await side.say(idsFrom(2, 100));
    side.cache.reset();
    const fresh = open(options);
    for (const { prompt, say } of [side, fresh]) {
      await prompt(idsFrom(5, 60));
      await say(idsFrom(6, 45));
    }
    expect(differences(side.cache, await bitsOf(side.cache), await bitsOf(fresh.cache))).toEqual([]);
    side.dispose();
    fresh.dispose();
  });

  test("tokens taken back at any moment: every other one is where it was, in one place", async () => {
    const side = open(options);
    const { cache } = side;
    const random = seeded(7);
    await side.prompt(idsFrom(1, 100));
    let tokens = 100;
    for (let round = 0; round < 12; round++) {
      const said = 1 + Math.floor(random() * 20);
      await side.say(idsFrom(round + 10, said));
      const least = Math.max(...Array.from({ length: transformer.config.layers }, (_, layer) => cache.ringStart(layer)));
      tokens += said;
      tokens -= Math.floor(random() * (tokens - least + 1));
      cache.rewind(tokens);
      for (const more of [0, 1]) {
        await side.say(idsFrom(99, more));
        tokens += more;
        expectInPlace(await readWords(gpu, cache), tokens);
      }
    }
    expect(() => cache.rewind(tokens + 1)).toThrow("were to be cut");
    expect(() => cache.rewind(tokens - cache.policy.ring)).toThrow("have left the ring");
    side.dispose();
  });
});

test.each([true, false])("what a second turn says changes what the first one's tokens are worth: re-evaluated %s; pinned ones stay", async (follows) => {
  const pinned = [20, 32] as const;
  const policy: PolicySpec = { score: { kind: "attention-history" }, precision: { kind: "evict-only" }, pinned: [pinned] };
  const options = { policy: { ...policy, ...(follows && { reevaluate: { every: 16 } }) }, budget };
  const side = open(options);
  await side.prompt(idsFrom(1, 150));
  await side.say(idsFrom(2, 5));
  const worth = async (cache: KvCache): Promise<ReadonlyMap<number, number>[]> => {
    const words = await readWords(gpu, cache);
    return cache.plan.pages.flatMap((_, layer) =>
      Array.from({ length: cache.plan.shape.kvHeads }, (__, head) => new Map(slotsInPages(words, layer, head).map((slot) => [slot.position, slot.importance]))),
    );
  };
  const judged = Math.min(...side.cache.plan.pages.map((_, layer) => side.cache.ringStart(layer))); // positions before it
  const other = side.sequence.fork();
  const decoder = new Decoder(transformer, other.cache, resolveSampling({}), []);
  for (const id of idsFrom(4, 60)) decoder.force(id);
  await side.say(idsFrom(3, 60));
  const [one, two] = [await worth(side.cache), await worth(other.cache)];
  let [common, moved] = [0, 0];
  for (const [head, slots] of one.entries()) {
    for (const map of [slots, two[head] ?? new Map<number, number>()])
      for (let position = pinned[0]; position < pinned[1]; position++) expect(map.has(position), `pinned ${position}`).toBe(true);
    for (const [position, importance] of slots) {
      const there = two[head]?.get(position);
      if (position >= judged || there === undefined) continue;
      common++;
      if (there !== importance) moved++;
    }
  }
  expect(common).toBeGreaterThan(100);
  if (follows) expect(moved).toBeGreaterThan(common / 4);
  else expect(moved).toBe(0);
  // The copy took over what had been received before it was made.
  const never = open(options);
  await never.prompt(idsFrom(1, 150));
  await never.say([...idsFrom(2, 5), ...idsFrom(4, 60)]);
  expect(differences(other.cache, await bitsOf(other.cache), await bitsOf(never.cache))).toEqual([]);
  never.dispose();
  decoder.dispose();
  other.dispose();
  side.dispose();
});

test("a pool of several segments: a copy grows with its source, and back again", async () => {
  const policy: PolicySpec = { precision: { kind: "uniform", format: "k16v16" } };
  const [side, copy] = inSegments(() => [open({ policy }), open({ policy })]);
  await side.prompt(idsFrom(1, 30));
  const early = new CacheSnapshot(gpu, side.cache, "Test.early");
  const before = await bitsOf(side.cache);
  const { segments } = side.cache.buffers;
  await side.say(idsFrom(2, 400));
  expect(side.cache.buffers.segments).toBeGreaterThan(segments);
  copyCache(gpu, side.cache, copy.cache);
  expect(differences(copy.cache, await bitsOf(copy.cache), await bitsOf(side.cache))).toEqual([]);
  early.restore(copy.cache);
  const back = await bitsOf(copy.cache);
  expect(differences(copy.cache, back.slice(0, before.length), before)).toEqual([]);
  await copy.say(idsFrom(2, 400));
  expect(differences(copy.cache, await bitsOf(copy.cache), await bitsOf(side.cache))).toEqual([]);
  early.dispose();
  copy.dispose();
  side.dispose();
});

/** Makes caches as on an adapter whose bindings are small, so that pools take several segments. */
function inSegments<T>(make: () => T): T {
  const limits = gpu.limits;
  Object.defineProperty(gpu, "limits", { value: { maxBufferSize: limits.maxBufferSize, maxStorageBufferBindingSize: 200_000 }, configurable: true });
  try {
    return make();
  } finally {
    Object.defineProperty(gpu, "limits", { value: limits });
  }
}

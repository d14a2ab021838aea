// promotion: slots that pages hold demoted come back in full beside what was evicted, and leave pages as they do: every slot in one place at every moment, nothing
// more precise than what is stored, nothing pinned taken out of pages.

import { afterAll, beforeAll, expect, test } from "vitest";
import { coldBlockBytes } from "../../src/cold/store";
import type { ColdOptions } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import type { Transformer } from "../../src/model/transformer";
import { PRESETS } from "../../src/policy/presets";
import { readWords, slotFormats } from "../kernels/cache-checks";
import { testGpu } from "../kernels/gpu";
import { slotsInPages } from "../reference/page-table";
import { checkAll, guestsOf, isDemoted, loadTiny, PROMPT, type Run, startRun } from "./cold-run";

let gpu: Gpu;
let transformer: Transformer;
beforeAll(async () => {
  gpu = await testGpu();
  transformer = await loadTiny(gpu, PROMPT + 400);
});
afterAll(() => gpu?.dispose());

const COLD: ColdOptions = { maxBytes: 1e7, recall: { guests: 24, promote: true } };

/** Guests that wait, and those that do not, as "layer head position". */
async function rowsOf(run: Run): Promise<{ waiting: string[]; awake: string[] }> {
  const rows = (await guestsOf(run)).flatMap((heads, layer) =>
    heads.flatMap((all, head) => [...all.values()].map((row) => ({ row, key: `${layer} ${head} ${row.position}` }))),
  );
  return { waiting: rows.filter(({ row }) => row.waits).map(({ key }) => key), awake: rows.filter(({ row }) => !row.waits).map(({ key }) => key) };
}

/** Feeds tokens, checking now and then; returns slots that waited once and were awake later. */
async function promotedIn(run: Run, rounds: number): Promise<{ promoted: Set<string>; waited: Set<string> }> {
  const [promoted, waited] = [new Set<string>(), new Set<string>()];
  for (let round = 0; round < rounds; round++) {
    await run.feed(9);
    await checkAll(run);
    const { waiting, awake } = await rowsOf(run);
    for (const key of waiting) waited.add(key);
    for (const key of awake) if (waited.has(key)) promoted.add(key);
  }
  return { promoted, waited };
}

test.each([
  ["rate-distortion", 0.2],
  ["agacc", 0.2],
] as const)("%s: what waited takes its slot's place at a judgement, also after a fork and after tokens were taken back", async (policy, ratio) => {
  const run = await startRun(transformer, COLD, { policy, ratio });
  const { promoted, waited } = await promotedIn(run, 12);
  console.info(`${policy}: ${waited.size} slots waited, ${promoted.size} of them took their place`);
  expect(promoted.size).toBeGreaterThan(30);
  const { cache } = run.sequence;
  const fork = run.sequence.fork();
  await fork.cold?.ready();
  if (!fork.cold) throw new Error("no cold tier");
  cache.rewind(cache.tokens - 3);
  await run.feed(20);
  await checkAll(run);
  await checkAll({ ...run, sequence: fork, cold: fork.cold });
  fork.dispose();
  run.end();
});

test("slots whose importance rose when it was judged anew are known to the tier, and stand in a guest's bits later", async () => {
  const policy = { ...PRESETS["rate-distortion"].spec, reevaluate: { every: 32, window: 32 } };
  const run = await startRun(transformer, COLD, { policy, ratio: 0.15 });
  const { layers, kvHeads } = transformer.config;
  const [risen, promoted] = [new Set<string>(), new Set<string>()];
  for (let round = 0; round < 14; round++) {
    await run.feed(12);
    await run.cold.settle();
    const { evicted } = run.cold.state;
    const words = await readWords(gpu, run.sequence.cache);
    for (let list = 0; list < layers * kvHeads; list++) {
      const [layer, head] = [Math.floor(list / kvHeads), list % kvHeads];
      const held = slotsInPages(words, layer, head).flatMap((slot) => (slot.held && isDemoted(run.sequence.cache, slot.format) ? [slot.position] : []));
      const known = Array.from({ length: run.sequence.cache.tokens }, (_, position) => position).filter((at) => evicted.hasRisen(layer, head, at));
      expect(known).toEqual(held.sort((a, b) => a - b));
      for (const position of held) risen.add(`${layer} ${head} ${position}`);
    }
    for (const key of (await rowsOf(run)).awake) if (risen.has(key)) promoted.add(key);
  }
  console.info(`${risen.size} slots rose, ${promoted.size} of them came back in full`);
  expect(promoted.size).toBeGreaterThan(0);
  run.end();
});

test("what was promoted stays while the limit has room for all guests, and is gone below that", async () => {
  const one = coldBlockBytes(transformer.config);
  const run = await startRun(transformer, { ...COLD, maxBytes: 12 * one }, { policy: "rate-distortion" });
  let waited = 0;
  for (let round = 0; round < 8; round++) {
    waited += (await promotedIn(run, 1)).waited.size;
    const before = await rowsOf(run);
    run.cold.limit(3 * one);
    expect(await rowsOf(run)).toEqual(before);
    run.cold.limit(12 * one);
  }
  expect(waited).toBeGreaterThan(0);
  const before = (await rowsOf(run)).awake.length;
  run.cold.limit(2 * one);
  expect((await rowsOf(run)).awake.length).toBeLessThan(before);
  await checkAll(run);
  run.end();
});

test("without it, no slot that pages hold is a guest", async () => {
  const run = await startRun(transformer, { ...COLD, recall: { guests: 24, promote: false } }, { policy: "rate-distortion" });
  const { waited } = await promotedIn(run, 6);
  expect(waited.size).toBe(0);
  expect((await rowsOf(run)).awake.length).toBeGreaterThan(0);
  run.end();
});

test("what is pinned stays in pages", async () => {
  const policy = { precision: { kind: "tiers", formats: ["k4v4", "k8v8"] }, score: { kind: "expected-attention" }, pinned: [[20, 60]] } as const;
  const run = await startRun(transformer, COLD, { policy, ratio: 0.25 });
  const { waited } = await promotedIn(run, 8);
  const positions = new Set([...waited].map((key) => Number(key.split(" ")[2])));
  expect(positions.size).toBeGreaterThan(0);
  expect([...positions].filter((position) => position >= 20 && position < 60)).toEqual([]);
  for (const head of slotFormats(await readWords(gpu, run.sequence.cache)).flat())
    for (let position = 20; position < 60; position++) expect(head.has(position)).toBe(true);
  run.end();
});

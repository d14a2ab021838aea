// soak: 4,096 tokens decoded on the bundled model within a fixed number of bytes, under every schedule. At every 64th token the page tables are
// read back: no byte above the budget, every page in one place, every token accounted for. The text means nothing: positions leave what was trained.

import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { readUsage } from "../../src/cache/cache-report";
import type { KvCache } from "../../src/cache/kv-cache";
import { fullBytesPerToken, ringRowWords } from "../../src/cache/page-layout";
import type { RingTurn } from "../../src/cache/ring-schedule";
import type { PolicySpec } from "../../src/engine-types";
import { resolveSampling } from "../../src/generate/sampling-options";
import type { Gpu } from "../../src/gpu/device";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import type { Transformer } from "../../src/model/transformer";
import { checkPages, checkTokens, readWords, ringStartOf, type SlotFormats, slotFormats } from "../kernels/cache-checks";
import type { CacheWords } from "../reference/page-table";
import { seeded } from "../reference/scoring-case";
import { openTransformer } from "./tiny-engine";

const PROMPT = 200;
const DECODED = 4096;
const CHECKED = 64;

type Schedule = NonNullable<PolicySpec["schedule"]>;

/** Every schedule, over different scores, budgets and precisions; one with re-evaluation and sparse formats. Where all new tokens must be paid for, the budget is larger. */
const CASES: readonly { readonly policy: PolicySpec & { readonly schedule: Schedule }; readonly ratio: number }[] = [
  { policy: { schedule: { kind: "ring" }, ring: 32, budget: { kind: "shares" }, precision: { kind: "rate-distortion" } }, ratio: 0.03 },
  {
    policy: {
      schedule: { kind: "every", tokens: 100 },
      score: { kind: "attention-history" },
      precision: { kind: "agacc", bits: [4, 8], prune: { most: 0.9 } },
      reevaluate: { every: 128, window: 64, rise: 1.2 },
    },
    ratio: 0.08,
  },
  { policy: { schedule: { kind: "budget" }, budget: { kind: "uniform" }, precision: { kind: "tiers" } }, ratio: 0.04 },
  {
    policy: {
      schedule: { kind: "prefill" },
      ring: CHECKED,
      score: { kind: "knorm" },
      budget: { kind: "pyramid" },
      precision: { kind: "tiers", formats: ["k2v2", "k4v2"] },
    },
    ratio: 0.3,
  },
];

let gpu: Gpu;
let transformer: Transformer;
beforeAll(async () => {
  ({ gpu, transformer } = await openTransformer(PROMPT + DECODED));
});
afterAll(() => gpu?.dispose());

test.for(CASES)("$policy.schedule.kind, $policy.precision.kind at $ratio of the bytes", { timeout: 600_000 }, async ({ policy, ratio }) => {
  const started = performance.now();
  const { config } = transformer;
  const budget = Math.floor(ratio * (PROMPT + DECODED) * fullBytesPerToken(config));
  const sequence = new Sequence(transformer, { policy, budget: { bytes: budget } }, PROMPT + DECODED, PROMPT);
  const { cache } = sequence;
  const advance = vi.spyOn(cache, "advance");
  const decoder = new Decoder(transformer, cache, resolveSampling({}), []);
  const random = seeded(5);
  const id = (): number => Math.floor(random() * config.vocab);
  try {
    await gpu.kernels.ready();
    await prefill(transformer, Array.from({ length: PROMPT }, id), [sequence.target()], { step: {}, record: () => {} });
    let before = await look(gpu, cache);
    let reading = 0;
    for (let decoded = 1; decoded <= DECODED; decoded++) {
      decoder.force(id());
      if (decoded % 8 === 0) await gpu.idle();
      if (decoded % CHECKED !== 0) continue;
      const readFrom = performance.now();
      const now = await look(gpu, cache);
      expect(cache.bytes).toBeLessThanOrEqual(budget);
      checkPages(now.words);
      checkTokens(now.words, now.slots, PROMPT + decoded);
      checkRing(before.words, now.words);
      checkAppended(before, now, judgements(advance.mock.results.slice(-CHECKED).map(({ value }) => value.turn)));
      const all = (PROMPT + decoded) * config.layers * config.kvHeads;
      const { slotsKept, slotsEvicted } = await readUsage(gpu, cache);
      expect([slotsKept, slotsEvicted]).toEqual([now.kept, all - now.kept]);
      before = now;
      reading += performance.now() - readFrom;
    }
    checkSchedule(policy.schedule, judgements(advance.mock.results.map(({ value }) => value.turn)));
    const seconds = (performance.now() - started) / 1000;
    console.log(`${policy.schedule.kind}: ${seconds.toFixed(1)} s, ${(reading / 1000).toFixed(1)} of them reading back; ${cache.bytes} of ${budget} bytes`);
  } finally {
    decoder.dispose();
    sequence.dispose();
  }
});

/** Keys of the sinks stay as they were, bit by bit; every other row holds another token's. (Values of the first layer say nothing of the position.) */
function checkRing(before: CacheWords, { plan, policy, ring }: CacheWords): void {
  const { headSize, kvHeads, layers } = plan.shape;
  for (let head = 0; head < layers * kvHeads; head++)
    for (let row = 0; row < plan.ringSlots; row++) {
      const words = ringRowWords(headSize, plan.ringBits);
      const at = Math.floor(head / kvHeads) * 2 * plan.ringPlane + ((head % kvHeads) * plan.ringSlots + row) * words;
      const same = ring.subarray(at, at + words).every((word, index) => word === before.ring[at + index]);
      if (same !== row < policy.sinks) expect.fail(`row ${row} of head ${head} ${same ? "is as it was" : "has changed"}`);
    }
}

/** By layer: of each compression of its ring, how many tokens after the first one looked at, and whether all slots were judged. */
function judgements(turns: readonly (RingTurn | undefined)[]): { readonly at: number; readonly judged: boolean }[][] {
  return Array.from({ length: transformer.config.layers }, (_, layer) =>
    turns.flatMap((turn, at) => (turn?.layers.includes(layer) ? [{ at, judged: turn.judged }] : [])),
  );
}

/** A layer that was not judged holds what it held, in the same formats, and what left its ring in the richest. */
function checkAppended(before: Look, now: Look, layers: ReturnType<typeof judgements>): void {
  const richest = now.words.policy.formats.length - 1;
  for (const [layer, compressions] of layers.entries()) {
    if (compressions.some(({ judged }) => judged)) continue;
    const [from, to] = [ringStartOf(before.words, layer), ringStartOf(now.words, layer)];
    for (const [head, slots] of (now.slots[layer] ?? []).entries()) {
      const old = before.slots[layer]?.[head] ?? new Map<number, number>();
      expect(slots.size).toBe(old.size + to - from);
      for (const [position, format] of slots) if (format !== (position < from ? old.get(position) : richest)) expect.fail(`position ${position} was judged`);
    }
  }
}

/** When layers were judged, over the whole run. */
function checkSchedule({ kind, tokens = 0 }: Schedule, layers: ReturnType<typeof judgements>): void {
  for (const compressions of layers) {
    const judged = compressions.filter((compression) => compression.judged);
    const gaps = judged.map(({ at }, index) => at - (judged[index - 1]?.at ?? 0)).slice(1);
    if (kind === "ring") expect(judged.length).toBe(compressions.length);
    if (kind === "prefill") expect(judged.length).toBe(0);
    if (kind === "every") expect([...new Set(gaps)]).toEqual([8 * Math.ceil(tokens / 8)]);
    if (kind === "budget") {
      expect(judged.length).toBeGreaterThan(10);
      expect(judged.length).toBeLessThan(compressions.length / 2);
    }
  }
}

interface Look {
  readonly words: CacheWords;
  readonly slots: SlotFormats[][];
  /** Slots of all heads, sinks and rings included. */
  readonly kept: number;
}

async function look(gpu: Gpu, cache: KvCache): Promise<Look> {
  const words = await readWords(gpu, cache);
  const slots = slotFormats(words);
  const kept = slots.map((heads, layer) => heads.reduce((sum, head) => sum + words.policy.sinks + cache.tokens - ringStartOf(words, layer) + head.size, 0));
  return { words, slots, kept: kept.reduce((a, b) => a + b, 0) };
}

// cache-properties: what holds of every cache, whatever the policy, its schedule, the lengths and the text: fast-check draws them.

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readUsage } from "../../src/cache/cache-report";
import { Compressor } from "../../src/cache/compressor";
import { isFloor } from "../../src/cache/formats";
import type { PolicySpec } from "../../src/engine-types";
import { isEngineError } from "../../src/errors";
import type { Gpu } from "../../src/gpu/device";
import type { ModelConfig } from "../../src/model/model-config";
import { sharesOf } from "../../src/policy/budgets";
import type { Calibration } from "../../src/policy/calibration";
import { resolvePolicy } from "../../src/policy/policy";
import { SCHEDULE_KINDS } from "../../src/policy/schedules";
import { recodeGuest } from "../reference/codec";
import { type CacheWords, markerRows, type StoredSlot, slotsInPages } from "../reference/page-table";
import { randomCalibration } from "../reference/random-bases";
import { seeded } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench, type Truth } from "./cache-bench";
import { checkBytes, checkPages, checkTokens, ringStartOf, slotFormats } from "./cache-checks";
import { testGpu } from "./gpu";
import { NOWHERE } from "./marker-case";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

/** Two shapes, so that kernels are compiled twice and no more. */
const SHAPES = [
  { D: 32, G: 1, group: 1 },
  { D: 64, G: 3, group: 1 },
] as const;
const LAYERS = 2;
/** By kv heads, where a format needs one. */
const calibrations: Readonly<Record<number, Calibration>> = Object.fromEntries(SHAPES.map(({ D, G }) => [G, randomCalibration({ L: LAYERS, H: G, G, D })]));
/** Cases that are run, refused ones not counted: so many that pinned, evicting and marked ones are among them, whatever the seed. */
const RUNS = 40;

const precisions = fc.constantFrom<PolicySpec["precision"]>(
  { kind: "evict-only" },
  { kind: "evict-only", format: "k4v4" },
  { kind: "tiers" },
  { kind: "tiers", formats: ["k2v2", "k4v2", "k8v8", "k16v16"], thresholds: [1, 2, 2, 64] },
  { kind: "rate-distortion" },
  { kind: "rate-distortion", formats: ["k2v2", "k8v4", "k16v16"], recency: 0 },
  { kind: "rate-distortion", formats: ["k1.5v2", "k3v2", "k8v8"], recency: 0 }, // in the calibrated basis
  { kind: "tiers", formats: ["k4v4-quarter", "k8v8-half", "k8v8"] }, // with pruned channels
  { kind: "agacc", quantizer: "deviation" },
  { kind: "agacc", bits: [4, 8], prune: { most: 0.9 } },
  { kind: "uniform", format: "k4v4" },
);
const budgets = fc.constantFrom<NonNullable<PolicySpec["budget"]>>(
  { kind: "uniform" },
  { kind: "ada" },
  { kind: "table", table: [3, 2] },
  { kind: "shares" },
  { kind: "pyramid", beta: 4 },
  { kind: "global" },
  { kind: "dynamic" },
  { kind: "cake" },
);
const cases = fc.record({
  shape: fc.constantFrom(...SHAPES),
  precision: precisions,
  budget: budgets,
  schedule: fc.tuple(fc.constantFrom(...SCHEDULE_KINDS), fc.integer({ min: 1, max: 40 })),
  sinks: fc.integer({ min: 0, max: 5 }),
  ring: fc.integer({ min: 2, max: 17 }),
  ringBits: fc.constantFrom<16 | 8>(16, 8),
  pinned: fc.option(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 12 })), { nil: undefined }),
  markers: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
  prompt: fc.integer({ min: 1, max: 130 }),
  decoded: fc.integer({ min: 0, max: 45 }),
  ratio: fc.double({ min: 0.15, max: 1, noNaN: true }),
  seed: fc.nat(1000),
});
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

test("budgets hold, every byte and page and token is accounted for, and sinks, ring and pinned spans are there", { timeout: 300_000 }, async () => {
  const seen = { evicted: 0, pinned: 0, marked: 0 };
  await fc.assert(
    fc.asyncProperty(cases, async (drawn) => {
      const { bench, budgetBytes } = made(drawn);
      try {
        await bench.prompt(drawn.prompt);
        for (let token = 0; token < drawn.decoded; token++) await bench.append(undefined, false);
        const words = await bench.words();
        checkBytes(bench.cache, budgetBytes);
        checkPages(words);
        checkTokens(words, slotFormats(words), bench.cache.tokens);
        checkMarkers(bench, words);
        const kept = await checkSlots(bench, words);
        seen.evicted += kept < 1 ? 1 : 0;
        seen.pinned += drawn.pinned ? 1 : 0;
        seen.marked += drawn.markers && kept < 1 ? 1 : 0;
      } finally {
        bench.dispose();
      }
    }),
    { numRuns: RUNS },
  );
  // The cases drawn must say something.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
});

test("the order of the tokens changes nothing: each is kept in the same format, with the same bits", { timeout: 300_000 }, async () => {
  let evicted = 0;
  await fc.assert(
    fc.asyncProperty(cases, async (drawn) => {
      const random = seeded(drawn.seed);
      const precision = drawn.precision.kind === "rate-distortion" ? { ...drawn.precision, recency: 0 } : drawn.precision; // which goes by position
      const tokens = Array.from({ length: drawn.prompt }, () => exactToken(drawn.shape.D, random));
      const given = tokens.map((_, position) => position);
      const kept: Kept[][][] = [];
      for (const tokenAt of [given, shuffled(given, drawn.sinks, drawn.prompt - Math.floor(drawn.ring / 2), random)]) {
        const { bench } = made({ ...drawn, precision, pinned: undefined });
        try {
          await bench.prompt(drawn.prompt, (position) => tokens[tokenAt[position] ?? 0] ?? {});
          const slots = await slotsOf(bench);
          kept.push(slots.map((head) => head.map((slot) => ({ ...slot, position: tokenAt[slot.position] ?? -1 })).sort((a, b) => a.position - b.position)));
        } finally {
          bench.dispose();
        }
      }
      expect(kept[1]).toEqual(kept[0]);
      evicted += (kept[0] ?? []).some((head) => head.length < drawn.prompt - drawn.sinks - Math.floor(drawn.ring / 2)) ? 1 : 0;
    }),
    { numRuns: RUNS },
  );
  expect(evicted).toBeGreaterThan(0);
});

test("compressing what is compressed changes nothing", { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(cases, async (drawn) => {
      fc.pre(drawn.precision.kind !== "uniform"); // which never judges
      const { bench } = made({ ...drawn, decoded: 0 });
      try {
        await bench.prompt(drawn.prompt);
        const before = await slotsOf(bench);
        await compressAgain(bench);
        expect(await slotsOf(bench)).toEqual(before);
        checkPages(await bench.words());
      } finally {
        bench.dispose();
      }
    }),
    { numRuns: RUNS },
  );
});

/** Draws another case where the budget is refused, or the choices do not go together: layers weighed under rate-distortion, pinned spans without 8 bits. */
function made({ shape, precision, budget, schedule: [kind, tokens], sinks, ring, ringBits, pinned, markers, prompt, decoded, ratio, seed }: Case) {
  const all = prompt + decoded;
  const budgetBytes = Math.floor(ratio * all * LAYERS * shape.G * shape.D * 4);
  const policy: PolicySpec = {
    precision,
    budget,
    schedule: kind === "every" ? { kind, tokens } : { kind },
    sinks,
    ring,
    ringBits,
    ...(pinned && { pinned: [[pinned[0], pinned[0] + pinned[1]] as const] }),
    ...(markers && { markers: { count: markers } }),
  };
  try {
    const rule = resolvePolicy(policy);
    const shares = sharesOf(rule.budget, { layers: LAYERS } as ModelConfig, { ratio, tokens: all, window: rule.sinks + rule.ring });
    const options = {
      tokens: all,
      promptTokens: prompt,
      budgetBytes,
      seed,
      shares,
      ...(precision.formats?.includes("k3v2") && { calibration: calibrations[shape.G] }),
    };
    return {
      bench: new CacheBench(gpu, { ...shape, layers: LAYERS }, policy, options),
      budgetBytes: rule.mode === "static" ? Number.POSITIVE_INFINITY : budgetBytes,
    };
  } catch (error) {
    const apart: readonly unknown[] = ["budget.kind", "markers", ...(pinned ? ["precision.formats"] : [])];
    if (isEngineError(error) && (error.code === "BUDGET_TOO_SMALL" || apart.includes(error.details.field))) fc.pre(false);
    throw error;
  }
}

/** A row of sinks or ring: the very token, or what 8 bits leave of it. */
function checkRow(slot: StoredSlot | undefined, { key, value }: Pick<StoredSlot, "key" | "value">, ringBits: number): void {
  if (!slot) expect.fail("no row");
  if (ringBits === 16) {
    expect({ key: slot.key, value: slot.value }).toEqual({ key, value });
    return;
  }
  expectClose(slot.key, recodeGuest(key, 8, slot.keyCoded), { ...tolerances.f64, atol: slot.keyCoded.scale }); // a code on the edge between two may be either
  expectClose(slot.value, recodeGuest(value, 8, slot.valueCoded), { ...tolerances.f64, atol: slot.valueCoded.scale });
}

/** Sinks and ring hold the very tokens, pinned ones stand at their floor, the report counts what is there. Returns the part that is kept. */
async function checkSlots(bench: CacheBench, words: CacheWords): Promise<number> {
  const { policy, cache, truth } = bench;
  const floor = policy.formats.findIndex(isFloor);
  let kept = 0;
  for (const [layer, heads] of truth.entries()) {
    expect(ringStartOf(words, layer)).toBe(cache.ringStart(layer));
    for (const [head, rows] of heads.entries()) {
      const slots = new Map(bench.slots(words, layer, head).map((slot) => [slot.position, slot]));
      kept += slots.size;
      for (const [position, { key, value }] of rows.entries()) {
        const slot = slots.get(position);
        if (position < policy.sinks || position >= cache.ringStart(layer)) checkRow(slot, { key, value }, policy.ringBits);
        else if (policy.pinned.some(([start, end]) => position >= start && position < end)) expect(slot?.format).toBeGreaterThanOrEqual(floor);
      }
    }
  }
  const { slotsKept, slotsEvicted } = await readUsage(bench.gpu, cache);
  const all = cache.tokens * truth.length * bench.shape.G;
  expect([slotsKept, slotsEvicted]).toEqual([kept, all - kept]);
  return kept / all;
}

/** What is evicted stands in the markers, each token once: between where its span begins and where the next one does. */
function checkMarkers(bench: CacheBench, words: CacheWords): void {
  if (bench.policy.markers.count === 0) return;
  for (const [layer, heads] of bench.truth.entries())
    for (const [head, rows] of heads.entries()) {
      const kept = new Set(bench.slots(words, layer, head).map(({ position }) => position));
      const evicted = rows.map((_, position) => position).filter((position) => !kept.has(position));
      const markers = markerRows(words, layer, head).filter(({ first }) => first !== NOWHERE);
      const counts = markers.map(({ first }, m) => evicted.filter((position) => position >= first && position < (markers[m + 1]?.first ?? NOWHERE)).length);
      expect(markers.map(({ count }) => count)).toEqual(counts);
      expect(counts.reduce((a, b) => a + b, 0)).toBe(evicted.length);
    }
}

/** A token whose sums over any number of others are exact, so that means do not depend on their order. */
function exactToken(D: number, random: () => number): Truth {
  const vector = (): Float64Array => Float64Array.from({ length: D }, () => (Math.floor(129 * random()) - 64) / 16);
  return { key: vector(), value: vector(), importance: Math.fround(Math.exp(-8 * random())) };
}

/** The items from one place to another in an order of their own. */
function shuffled(items: readonly number[], first: number, last: number, random: () => number): number[] {
  const order = [...items];
  for (let i = last - 1; i > first; i--) {
    const j = first + Math.floor(random() * (i - first + 1));
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}

type Kept = Pick<StoredSlot, "position" | "format" | "raw" | "importance">;

/** By layer and head: what is in pages, sorted by position. */
async function slotsOf(bench: CacheBench): Promise<Kept[][]> {
  const words = await bench.words();
  return bench.truth.flatMap((heads, layer) =>
    heads.map((_, head) =>
      slotsInPages(words, layer, head)
        .map(({ position, format, raw, importance }) => ({ position, format, raw, importance }))
        .sort((a, b) => a.position - b.position),
    ),
  );
}

/** One more judgement of every layer, with nothing that comes in. */
async function compressAgain({ cache, queryEnergy, policy }: CacheBench): Promise<void> {
  const { buffers, plan } = cache;
  const energy = gpu.createBuffer("Test.energy", plan.shape.kvHeads * 4, "scratch");
  gpu.write(energy, 0, new Float32Array(plan.shape.kvHeads).fill(queryEnergy));
  const most = plan.maxPages * Math.max(...plan.layout.slotsPerPage);
  const importance = { scores: () => energy, stride: 1, queryEnergy: () => energy };
  const source = {
    rows: (layer: number) => buffers.openRows(layer),
    capacity: plan.ringSlots,
    planeWords: plan.openPlane,
    wrap: policy.ring,
    baseRow: policy.sinks,
    importance,
  };
  const compressor = new Compressor(gpu, buffers, source, most, "judged", "scratch");
  await gpu.kernels.ready();
  for (let layer = 0; layer < plan.shape.layers; layer++) {
    compressor.write({ count: 0, firstPosition: cache.ringStart(layer), firstRow: 0, meanRows: 0, now: cache.tokens, judged: true });
    const recorder = gpu.record();
    compressor.recordLift(recorder, layer);
    compressor.record(recorder, layer, most);
    recorder.submit();
  }
  await gpu.idle();
  compressor.dispose();
  gpu.destroyBuffer(energy);
}

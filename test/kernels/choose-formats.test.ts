// choose-formats: budgets are kept and used up, the choice costs no more than the f64 twin's, the best slots stay, pages are never lost.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FORMATS } from "../../src/cache/formats";
import { ringRowWords } from "../../src/cache/page-layout";
import type { PolicySpec } from "../../src/engine-types";
import { isEngineError } from "../../src/errors";
import type { Gpu } from "../../src/gpu/device";
import { chooseFormats, costOf, pagesOf, type Rule, recentMass, type Slot } from "../reference/choose-formats";
import { type CacheWords, meansOf, slotsInPages } from "../reference/page-table";
import { diffKvTiers } from "../reference/precision";
import { randomCalibration } from "../reference/random-bases";
import { CacheBench } from "./cache-bench";
import { checkPages } from "./cache-checks";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const shape = { D: 64, G: 3, group: 1 };
/** Where a policy needs one. */
const calibration = randomCalibration({ L: 2, H: shape.G, G: shape.G, D: shape.D });
const policies: [string, PolicySpec][] = [
  ["rate-distortion", { precision: { kind: "rate-distortion" }, budget: { kind: "shares" } }],
  ["rate-distortion, heads alone", { precision: { kind: "rate-distortion" }, budget: { kind: "uniform" } }],
  ["rate-distortion with k8v8 and f16", { precision: { kind: "rate-distortion", formats: ["k2v2", "k4v4", "k8v8", "k16v16"] } }],
  ["tiers", { precision: { kind: "tiers" } }],
  ["AGACC's line", { precision: { kind: "agacc", quantizer: "deviation" }, budget: { kind: "ada" } }],
  ["evict-only under AdaKV", { precision: { kind: "evict-only" } }],
  ["every format of a calibrated model", { precision: { kind: "rate-distortion", formats: FORMATS.map(({ name }) => name) }, budget: { kind: "shares" } }],
  ["evict-only, heads alone", { precision: { kind: "evict-only", format: "k4v4" }, budget: { kind: "uniform" } }],
];

describe.each(policies)("%s", (_, policy) => {
  test.each([0.3, 0.12])("a prompt of 400 tokens at %d of its bytes", async (ratio) => {
    const { bench, words } = await prompted(policy, 400, ratio);
    const rule = ruleOf(bench);
    for (let layer = 0; layer < 2; layer++) {
      const heads = Array.from({ length: shape.G }, (_, head) => candidates(bench, words, layer, head, 396 - 8));
      const budget = bench.cache.plan.pages[layer] ?? 0;
      const wanted = chooseFormats(heads, budget, rule);
      const got = heads.map((slots, head) => choiceOf(words, layer, head, slots.length, 4));
      const pages = got.reduce((sum, choice) => sum + pagesOf(choice, rule), 0);
      expect(pages).toBe(words.tables[layer * words.plan.tableStride + 1]);
      expect(pages).toBeLessThanOrEqual(budget);
      expect(pages).toBeGreaterThanOrEqual(wanted.reduce((sum, choice) => sum + pagesOf(choice, rule), 0) - 1);
      const cost = (choice: number[][]): number =>
        choice.reduce((sum, head, h) => sum + head.reduce((part, f, i) => part + costOf(heads[h]?.[i] as Slot, f, rule), 0), 0);
      if (rule.mode === "rate-distortion") expect(cost(got)).toBeLessThanOrEqual(cost(wanted) * 1.01);
      got.forEach((choice, head) => {
        if (rule.mode === "tiers") expectBestKept(choice, heads[head] ?? []);
        expect(affordable(choice, heads[head] ?? [], rule)).toEqual([]);
        if (rule.mode === "tiers") expect(choice).toEqual(wanted[head]);
      });
    }
    bench.dispose();
  });
});

test("pinned spans stay whole and at k8v8", async () => {
  for (const [formats, floor] of [
    [["k2v2", "k4v4", "k8v8", "k16v16"], 2],
    [["k2v2", "k8v4", "k16v16"], 2],
  ] as const) {
    const { bench } = await prompted(
      {
        precision: { kind: "rate-distortion", formats },
        pinned: [
          [40, 60],
          [100, 110],
        ],
      },
      200,
      0.25,
      (position) => ({ importance: position === 50 ? 0 : 1e-6 + position / 1e4 }),
    );
    for (let i = 0; i < 20; i++) await bench.append(undefined, false);
    const words = await bench.words();
    for (let head = 0; head < shape.G; head++) {
      const slots = slotsInPages(words, 1, head).filter(({ position }) => (position >= 40 && position < 60) || (position >= 100 && position < 110));
      expect(slots.length).toBe(30);
      for (const slot of slots) expect(slot.format).toBeGreaterThanOrEqual(floor);
    }
    bench.dispose();
  }
});

test("pinned spans without room are refused before anything is allocated", () => {
  const policy: PolicySpec = { precision: { kind: "rate-distortion" }, pinned: [[0, 190]] };
  const before = gpu.ledger.count;
  expect(() => new CacheBench(gpu, shape, policy, { tokens: 200, budgetBytes: 30_000 })).toThrowError(expect.objectContaining({ code: "BUDGET_TOO_SMALL" }));
  expect(gpu.ledger.count - before).toBeLessThanOrEqual(3); // the bench's own
});

describe.each(policies)("%s while decoding", (_, policy) => {
  test("80 tokens past several compressions: budget, free list, positions, sinks", async () => {
    const { bench } = await prompted(policy, 200, 0.3);
    let before = await bench.words();
    const sinks = before.ring.slice();
    for (let i = 0; i < 80; i++) {
      await bench.append(undefined, false);
      if (i % 8 !== 7) continue;
      const words = await bench.words();
      checkPages(words);
      checkHistory(bench, before, words);
      before = words;
    }
    for (let head = 0; head < shape.G; head++) {
      const row = ringRowWords(shape.D, before.plan.ringBits);
      const at = head * before.plan.ringSlots * row;
      expect(before.ring.subarray(at, at + 4 * row)).toEqual(sinks.subarray(at, at + 4 * row));
    }
    expect(bench.cache.bytes).toBeLessThanOrEqual(0.3 * 2 * 280 * shape.G * shape.D * 4);
    bench.dispose();
  });
});

test("what fits in the richest format gets it, although at the first price looked at it would be split over more pages than there are", async () => {
  const policy: PolicySpec = { precision: { kind: "tiers", formats: ["k4v4", "k8v8"] } };
  const make = (budgetBytes: number): CacheBench => new CacheBench(gpu, { D: 32, G: 1, group: 1 }, policy, { tokens: 40, budgetBytes });
  const bench = make(leastBudget(() => make(1000).dispose()));
  expect(bench.cache.plan.pages).toEqual([1, 1]);
  const room = bench.cache.plan.layout.slotsPerPage[1] ?? 0; // of one page
  expect(room).toBeGreaterThan(1);
  const count = Math.min(room, 28);
  await bench.prompt(4 + count + 8, (position) => ({ importance: position % 2 === 0 ? 2 : 8 })); // that price is 1
  const words = await bench.words();
  for (let layer = 0; layer < 2; layer++) expect(choiceOf(words, layer, 0, count, 4)).toEqual(Array(count).fill(1));
  bench.dispose();
});

test("DiffKV's tiers, where the budget is the pages that its thresholds fill", async () => {
  const bench = new CacheBench(gpu, shape, "diffkv", { tokens: 280, budgetBytes: 60_000 });
  const { buffers, plan } = bench.cache;
  const [low = 0, high = 0] = plan.layout.slotsPerPage;
  // Two pages of each head in the lower format and three in the better one, all full: whoever moved up would take one more.
  for (let layer = 0; layer < 2; layer++) gpu.write(buffers.tables, 4 * layer * plan.tableStride, new Uint32Array([5 * shape.G]));
  const count = 188;
  const attention = Array.from({ length: count }, (_, index) => {
    const rank = (index * 23) % count; // 23 is prime to it
    const relative = rank < 2 * low ? 0.025 + 0.875 * (rank / (2 * low)) : rank < 2 * low + 3 * high ? 1.1 + (rank - 2 * low) / 10 : 0.015 * (rank / count);
    return Math.fround(relative / count);
  });
  await bench.prompt(4 + count + 8, (position) => ({ importance: attention[position - 4] ?? 1 }));
  const words = await bench.words();
  const tiers = ["pruned", "low", "high"];
  const wanted = diffKvTiers(attention, { high: 1, low: 0.02, recent: 0 });
  expect(tiers.map((tier) => wanted.filter((got) => got === tier).length)).toEqual([count - 2 * low - 3 * high, 2 * low, 3 * high]);
  for (let layer = 0; layer < 2; layer++)
    for (let head = 0; head < shape.G; head++) expect(choiceOf(words, layer, head, count, 4).map((format) => tiers[format + 1])).toEqual(wanted);
  bench.dispose();
});

test("equal importance: a list of ties is kept or dropped whole, never past the budget", async () => {
  const { bench, words } = await prompted({ precision: { kind: "evict-only" } }, 300, 0.2, () => ({ importance: 0.5 }));
  checkPages(words);
  bench.dispose();
});

/** Bytes that a refusal says are needed; 0 where there is none. */
function leastBudget(make: () => void): number {
  try {
    make();
    return 0;
  } catch (error) {
    return isEngineError(error) && error.code === "BUDGET_TOO_SMALL" ? Number(error.details.expected) : Number.NaN;
  }
}

async function prompted(
  policy: PolicySpec,
  tokens: number,
  ratio: number,
  make?: Parameters<CacheBench["prompt"]>[1],
): Promise<{ bench: CacheBench; words: CacheWords }> {
  const total = tokens + 80;
  const options = { tokens: total, budgetBytes: Math.floor(ratio * 2 * total * shape.G * shape.D * 4) };
  const bench = new CacheBench(gpu, shape, policy, { ...options, ...(policy.precision.formats?.includes("k3v2") && { calibration }) });
  await bench.prompt(tokens, make);
  return { bench, words: await bench.words() };
}

function ruleOf({ policy, cache }: CacheBench): Rule {
  if (policy.mode === "static") throw new Error("A static policy chooses nothing.");
  const { slotsPerPage, pageBytes } = cache.plan.layout;
  const calibrated = policy.formats.some(({ basis }) => basis === "klt");
  return { ...policy, ...policy.budget, mode: policy.mode, slotsPerPage, pageBytes, ...(calibrated && { calibration }) };
}

/** What the twin knows of a head's slots that went into pages: the `count` positions after the sinks. */
function candidates(bench: CacheBench, words: CacheWords, layer: number, head: number, count: number): Slot[] {
  const [keyMean, valueMean] = meansOf(words, layer, head);
  const energy = (x: Float64Array, mean: Float64Array): number => x.reduce((sum, value, c) => sum + (value - (mean[c] ?? 0)) ** 2, 0);
  return Array.from({ length: count }, (_, index) => {
    const row = bench.truth[layer]?.[head]?.[index + 4];
    if (!row) throw new Error(`Position ${index + 4} was never made.`);
    return {
      importance: row.importance,
      recent: recentMass(count + 4 + Math.floor(bench.policy.ring / 2) - (index + 4), bench.policy),
      noise: (energy(row.key, keyMean) * bench.queryEnergy) / shape.D ** 2,
      valueEnergy: energy(row.value, valueMean),
    };
  });
}

/** Format by slot, -1 for dropped. */
function choiceOf(words: CacheWords, layer: number, head: number, count: number, first: number): number[] {
  const choice = Array<number>(count).fill(-1);
  for (const { position, format } of slotsInPages(words, layer, head)) choice[position - first] = format;
  return choice;
}

/** No slot of a list is worth less than one of a poorer list. */
function expectBestKept(choice: readonly number[], slots: readonly Slot[]): void {
  const formats = [...new Set(choice)].sort((a, b) => a - b);
  const importances = (format: number): number[] => slots.filter((_, i) => choice[i] === format).map(({ importance }) => importance);
  for (let i = 1; i < formats.length; i++)
    expect(Math.min(...importances(formats[i] ?? -1))).toBeGreaterThanOrEqual(Math.max(...importances(formats[i - 1] ?? -1)));
}

/** Upgrades that would take no page more, no other slot's place, and win more than a thousandth of what the head costs. */
function affordable(choice: readonly number[], slots: readonly Slot[], rule: Rule): { slot: number; from: number; to: number }[] {
  if (rule.mode !== "rate-distortion") return [];
  const pages = pagesOf(choice, rule);
  const total = slots.reduce((sum, slot, i) => sum + costOf(slot, choice[i] ?? -1, rule), 0);
  return choice.flatMap((from, slot) =>
    rule.formats.slice(from + 1).flatMap((_, step) => {
      const to = from + 1 + step;
      const won = costOf(slots[slot] as Slot, from, rule) - costOf(slots[slot] as Slot, to, rule);
      return won > 0.001 * total && pagesOf(choice.with(slot, to), rule) <= pages ? [{ slot, from, to }] : [];
    }),
  );
}

/** Kept slots were there before or came in, each once; those that keep their format keep every bit; none gets a richer format. */
function checkHistory(bench: CacheBench, before: CacheWords, after: CacheWords): void {
  for (let layer = 0; layer < 2; layer++) {
    const start = bench.cache.ringStart(layer);
    for (let head = 0; head < shape.G; head++) {
      const old = new Map(slotsInPages(before, layer, head).map((slot) => [slot.position, slot]));
      const now = slotsInPages(after, layer, head);
      expect(new Set(now.map(({ position }) => position)).size).toBe(now.length);
      for (const slot of now) {
        expect(slot.position).toBeGreaterThanOrEqual(4);
        expect(slot.position).toBeLessThan(start);
        const was = old.get(slot.position);
        if (!was) expect(slot.position).toBeGreaterThanOrEqual(start - 8);
        if (was?.format === slot.format) expect(slot.raw).toEqual(was.raw);
        if (was) expect(slot.format).toBeLessThanOrEqual(was.format);
        if (was) expect(slot.importance).toBe(was.importance);
      }
    }
  }
}

// reevaluate and page-received over a real cache: what slots in pages receive, by position, and their importance recalculated from it, against f64;
// what is held stays in its format.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { type StoredSlot, slotsInPages } from "../reference/page-table";
import { paid, recentScore, reevaluated } from "../reference/reevaluation";
import { positionFactor } from "../reference/scorers/attention-history";
import { CacheBench } from "./cache-bench";
import { checkPages, checkTokens, slotFormats } from "./cache-checks";
import { testGpu } from "./gpu";
import { pageMasses } from "./page-masses";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test("the formulas by hand", () => {
  // Logits 0 and ln 3: a quarter and three quarters.
  const [first = 0, second = 0] = paid(
    [2, 0, 0, 0],
    [
      [0, 1, 1, 1],
      [Math.log(3), 0, 0, 0],
    ],
  );
  expect([first, second].map((mass) => Math.round(1e9 * mass) / 1e9)).toEqual([0.25, 0.75]);
  expect(positionFactor(8)).toBeCloseTo(1 / 3, 12);
  expect(positionFactor(26, 1 / 3)).toBeCloseTo(1 / 3, 12);
  // Positions 4 and 5 are a block of two; the next token is 12: distances 8 and 7. (.4 / 4) 3 = .3 and (.8 / 4) sqrt 8 = .566.
  const window = { received: [0, 0, 0, 0, 0.4, 0.8], queries: 4, now: 12, distance: 0.5, block: 2 };
  expect(recentScore(4, window)).toBeCloseTo(0.2 * Math.sqrt(8), 12);
  expect(recentScore(4, { ...window, block: 1 })).toBeCloseTo(0.3, 12);
  // .5 * .3 + .5 * .1 = .2: twice what it was, so it is held; then .5 * .1 + .5 * .2 = .15: it fell.
  const rose = reevaluated({ importance: 0.1, held: false }, 0.3, { decay: 0.5, rise: 2 });
  expect(rose.importance).toBeCloseTo(0.2, 12);
  expect(rose.held).toBe(true);
  expect(reevaluated(rose, 0.25, { decay: 0.5, rise: 2 }).held).toBe(true);
  expect(reevaluated(rose, 0.1, { decay: 0.5, rise: 2 }).held).toBe(false);
});

const RULES: readonly [string, PolicySpec][] = [
  [
    "its own heads, another score's scale",
    { score: { kind: "knorm" }, reevaluate: { every: 16, rise: 1.2 }, precision: { kind: "tiers", formats: ["k4v4-half", "k4v4", "k8v8"] } },
  ],
  [
    "shared, by distance and block",
    { score: { kind: "attention-history", block: 4 }, reevaluate: { every: 16, window: 8, decay: 0.3 }, precision: { kind: "agacc" } },
  ],
  [
    "a window of three periods, another exponent of distance",
    { score: { kind: "attention-history", distance: 0.9 }, reevaluate: { every: 8, window: 24 }, precision: { kind: "evict-only" } },
  ],
  // A ring in 8 bits would leave room for every slot.
  ["bits by rate and distortion", { score: { kind: "snapkv" }, reevaluate: { every: 16, rise: 1.1 }, precision: { kind: "rate-distortion" }, ringBits: 16 }],
];

test.each(RULES)("%s: sums and importance are the twin's", { timeout: 300_000 }, async (_, policy) => {
  const [G, group, prompt, decoded] = [2, 2, 90, 60];
  const bench = new CacheBench(
    gpu,
    { D: 32, G, group, layers: 1 },
    { ring: 8, budget: { kind: "ada" }, ...policy },
    { tokens: prompt + decoded, budgetBytes: 14_000 },
  );
  const rule = bench.policy.reevaluate;
  if (!rule) throw new Error("no rule");
  await bench.prompt(prompt);
  const sums: number[][][] = []; // by token decoded that counts, head and position
  let [judged, held, kept] = [0, 0, 0];
  for (let n = 0; n < decoded; n++) {
    const position = prompt + n;
    const before = await bench.words();
    const [result] = await bench.append();
    if (!result) throw new Error("no attention");
    const after = await bench.words();
    const end = position - (position % rule.every);
    const first = Math.max(prompt, end - rule.window);
    const due = position % 4 === 0 && position - end < 4 && first < end;
    for (let head = 0; head < G; head++) {
      const old = new Map(slotsInPages(before, 0, head).map((slot) => [slot.position, slot]));
      const totals = Array.from({ length: position }, (_, at) => windowSum(sums, first, end, prompt, at, rule.shared ? undefined : head));
      const queries = count(first, end) * (rule.shared ? G : 1);
      const window = { received: totals, queries, now: position, distance: rule.distance, block: rule.block };
      const eligible = [...old.values()].filter((slot) => slot.position + 8 <= first);
      const total = (of: (slot: StoredSlot) => number): number => eligible.reduce((sum, slot) => sum + of(slot), 0);
      const scale = rule.attention ? 1 : total(({ importance }) => importance) / total((slot) => recentScore(slot.position, window));
      for (const slot of slotsInPages(after, 0, head)) {
        const was = old.get(slot.position);
        if (!was) continue;
        if (was.held && position % 4 === 0 && !due) expect(slot.format).toBe(was.format);
        expect(slot.format).toBeLessThanOrEqual(was.format); // within pages: what comes back comes from the cold tier
        if (!due || slot.position + 8 > first) {
          expect([slot.importance, slot.held]).toEqual([was.importance, was.held]);
          continue;
        }
        const wanted = reevaluated({ importance: was.importance, held: was.held ?? false }, scale * recentScore(slot.position, window), rule);
        expect(Math.abs(Math.log2(slot.importance / wanted.importance))).toBeLessThan(1 / 100);
        // Not where the bound falls between importance and its rounding.
        const near = [1, rule.rise].some((bound) => Math.abs(Math.log2(wanted.importance / was.importance / bound)) < 0.02);
        if (!near) expect(slot.held).toBe(wanted.held);
        judged++;
        held += slot.held ? 1 : 0;
        if (slot.held) expect(slot.format).toBe(was.format);
      }
    }
    if (position % 4 === 0 && rule.every - (position % rule.every) <= rule.window) sums[n] = await pageMasses(bench, after, 0);
    kept = slotFormats(after)[0]?.[0]?.size ?? 0;
    checkPages(after);
    checkTokens(after, slotFormats(after), bench.cache.tokens);
  }
  expect(bench.cache.bytes).toBeLessThanOrEqual(14_000);
  expect(judged).toBeGreaterThan(100);
  expect(held).toBeGreaterThan(5);
  expect(kept).toBeLessThan(prompt + decoded - 12);
  bench.dispose();
});

test("what is held and does not fit is judged like the rest: the budget holds", { timeout: 300_000 }, async () => {
  const policy: PolicySpec = {
    ring: 8,
    score: { kind: "snapkv" },
    reevaluate: { every: 8, rise: 1, decay: 1 },
    precision: { kind: "tiers" },
    schedule: { kind: "every", tokens: 16 },
  };
  const bench = new CacheBench(gpu, { D: 32, G: 2, group: 1, layers: 2 }, policy, { tokens: 200, promptTokens: 60, budgetBytes: 26_000 });
  await bench.prompt(60);
  let heldSeen = 0;
  for (let n = 0; n < 120; n++) {
    await bench.append();
    const words = await bench.words();
    checkPages(words);
    checkTokens(words, slotFormats(words), bench.cache.tokens);
    heldSeen += slotsInPages(words, 0, 0).filter((slot) => slot.held).length;
  }
  expect(heldSeen).toBeGreaterThan(100);
  bench.dispose();
});

test("sums are paid for by the budget", () => {
  const policy: PolicySpec = { score: { kind: "snapkv" }, precision: { kind: "tiers" } };
  const bytes = [policy, { ...policy, reevaluate: { every: 64 } }, { ...policy, reevaluate: { every: 64, window: 128 } }].map((spec) => {
    const bench = new CacheBench(gpu, { D: 32, G: 2, group: 1, layers: 2 }, spec, { tokens: 400, budgetBytes: 60_000 });
    const { statistics, pool } = bench.cache.buffers;
    expect(bench.cache.bytes).toBeLessThanOrEqual(60_000);
    const sizes = [statistics.size, pool.reduce((sum, { size }) => sum + size, 0)] as const;
    bench.dispose();
    return sizes;
  });
  // Two layers of two heads of 400 positions, 3,200 bytes padded to 3,328: two planes where windows overlap with judgements, three for two periods.
  expect(bytes.map(([statistics]) => statistics)).toEqual([16, 2 * 2 * 3328, 3 * 2 * 3328]);
  expect(bytes[1]?.[1]).toBeLessThan(bytes[0]?.[1] ?? 0);
});

/** Tokens of [first, end) that layer 0 counts. */
function count(first: number, end: number): number {
  return Array.from({ length: end - first }, (_, n) => first + n).filter((position) => position % 4 === 0).length;
}

function windowSum(sums: readonly number[][][], first: number, end: number, prompt: number, at: number, head?: number): number {
  return sums
    .slice(first - prompt, end - prompt)
    .flatMap((heads) => (heads ? (head === undefined ? heads : [heads[head] ?? []]) : []))
    .reduce((sum, positions) => sum + (positions[at] ?? 0), 0);
}

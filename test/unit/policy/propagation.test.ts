// propagation: the f64 twin against an example worked out by hand, the choice against the twin's rule, how many go on, and what is refused.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PolicySpec } from "../../../src/engine-types";
import { resolvePolicy } from "../../../src/policy/policy";
import { chooseTokens, planPropagation, propagationLayer } from "../../../src/policy/propagation";
import { tokensThatGoOn } from "../../reference/propagation";

describe("by hand", () => {
  // Two kv heads of one query head each, one channel, all queries 1, keys ln w: the query of position 6 pays w / 9 to each slot, that of position 7 w / 10.
  // Sums over both queries and heads, in 19/90: 4, 1.5, 1.5, 2, 4, 3, then the window.
  const weights = [3, 0.5, 0.5, 1, 1, 2, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1];
  const keys = weights.map(Math.log);
  const dims = { T: 8, H: 2, G: 2, D: 1, sinks: 0 };
  const rule = { window: 2, always: new Set([6, 7]), count: 4 };

  test("without a pool the two largest sums go on beside the window", () => {
    expect(tokensThatGoOn([1, 1, 1, 1], keys, dims, { ...rule, pool: 1 })).toEqual([0, 4, 6, 7]);
  });

  test("pooled over three, in thirds of it: 5.5, 7, 5, 7.5, 9, 7", () => {
    expect(tokensThatGoOn([1, 1, 1, 1], keys, dims, { ...rule, pool: 3 })).toEqual([3, 4, 6, 7]);
  });

  test("the engine's choice from scores by head; of equals the earlier", () => {
    const scores = Float32Array.from([3, 0.5, 0.5, 1, 1, 2, 9, 9, 1, 1, 1, 1, 3, 1, 9, 9]);
    expect(chooseTokens(rule, scores, 2)).toEqual([0, 4, 6, 7]);
    expect(chooseTokens({ ...rule, count: 3 }, scores, 2)).toEqual([0, 6, 7]);
  });
});

test("as many as asked for, those that always go on among them, and none left behind that counts more", () => {
  const cases = fc.record({
    scores: fc.array(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 60 }),
    marked: fc.array(fc.nat(29), { maxLength: 8 }),
    extra: fc.nat(30),
  });
  fc.assert(
    fc.property(cases, ({ scores, marked, extra }) => {
      const tokens = Math.floor(scores.length / 2);
      const always = new Set(marked.filter((position) => position < tokens));
      const count = Math.min(tokens, always.size + extra);
      const chosen = chooseTokens({ count, always }, Float32Array.from(scores.slice(0, 2 * tokens)), 2);
      expect(chosen).toEqual([...new Set(chosen)].sort((a, b) => a - b));
      expect(chosen.length).toBe(count);
      const sum = (t: number): number => (scores[t] ?? 0) + (scores[tokens + t] ?? 0);
      for (const position of always) expect(chosen).toContain(position);
      const least = Math.min(...chosen.filter((t) => !always.has(t)).map(sum));
      for (let t = 0; t < tokens; t++) if (!chosen.includes(t)) expect(sum(t)).toBeLessThanOrEqual(least);
    }),
  );
});

describe("how many go on", () => {
  const policy = { sinks: 4, ring: 16, pinned: [] };
  const rule = { rate: 0.2, window: 8, pool: 7 };

  test("a fifth, with sinks and the newest eight; the layer is the paper's 15 of 32", () => {
    const { count, always, layer } = planPropagation(rule, policy, 1024, 32);
    expect([count, layer]).toEqual([204, 15]);
    expect([...always]).toEqual([0, 1, 2, 3, 1016, 1017, 1018, 1019, 1020, 1021, 1022, 1023]);
  });

  test("never fewer than must, and one more; never more than there are", () => {
    expect(planPropagation(rule, policy, 50, 6).count).toBe(13);
    expect(planPropagation(rule, policy, 5, 6).count).toBe(5);
    expect(planPropagation(rule, policy, 1, 6).count).toBe(1);
    expect(planPropagation({ ...rule, rate: 1 }, policy, 777, 6).count).toBe(777);
  });

  test("pinned tokens always do", () => {
    const { always, count } = planPropagation(rule, { ...policy, pinned: [[10, 60]] }, 100, 6);
    expect(count).toBe(63);
    expect(always.has(10) && always.has(59) && !always.has(60)).toBe(true);
  });

  test("no layer above the one that chooses: refused", () => {
    expect(propagationLayer({ layer: 4 }, 6)).toBe(4);
    expect(() => propagationLayer({ layer: 5 }, 6)).toThrow(/propagate.layer is 5. Allowed: 0 to 4/);
    expect(() => propagationLayer({}, 1)).toThrow(/propagate.layer/);
  });
});

describe("what is refused", () => {
  const SNAPKV: PolicySpec = { score: { kind: "snapkv" }, precision: { kind: "evict-only" } };
  const cases: readonly (readonly [string, PolicySpec, string])[] = [
    ["rate 0", { ...SNAPKV, propagate: { rate: 0 } }, "propagate.rate"],
    ["rate above 1", { ...SNAPKV, propagate: { rate: 1.1 } }, "propagate.rate"],
    ["rate NaN", { ...SNAPKV, propagate: { rate: Number.NaN } }, "propagate.rate"],
    ["half a layer", { ...SNAPKV, propagate: { layer: 1.5 } }, "propagate.layer"],
    ["no window", { ...SNAPKV, propagate: { window: 0 } }, "propagate.window"],
    ["an even pool", { ...SNAPKV, propagate: { pool: 4 } }, "propagate.pool"],
    ["a field that is none", { ...SNAPKV, propagate: { tokens: 4 } as NonNullable<PolicySpec["propagate"]> }, "propagate"],
    ["uniform precision", { precision: { kind: "uniform" }, propagate: {} }, "propagate"],
    ["a replay", { ...SNAPKV, score: { kind: "kvzip" }, propagate: {} }, "score.kind"],
    ["an average over layers", { ...SNAPKV, score: { kind: "attention-history" }, propagate: {} }, "score.kind"],
    ["layers weighed against each other", { ...SNAPKV, budget: { kind: "global" }, propagate: {} }, "budget.kind"],
    ["markers", { ...SNAPKV, markers: { count: 4 }, propagate: {} }, "markers"],
  ];

  test.each(cases)("%s", (_, spec, field) => {
    expect(() => resolvePolicy(spec)).toThrow(expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }));
  });

  test("what is left out is the paper's", () => {
    expect(resolvePolicy({ ...SNAPKV, propagate: {} }).propagate).toEqual({ rate: 0.2, window: 8, pool: 7 });
    expect(resolvePolicy("fastkv").propagate).toEqual({ rate: 0.2, window: 8, pool: 7 });
  });
});

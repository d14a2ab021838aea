// layer-budgets: the layers' parts of the bytes by every rule, against the references and kvpress's own numbers; what is refused.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatByName } from "../../../src/cache/formats";
import { choosePageLayout, pagesPerLayer } from "../../../src/cache/page-layout";
import type { BudgetSpec } from "../../../src/engine-types";
import type { ModelConfig } from "../../../src/model/model-config";
import { pyramidSlots, resolveBudget, sharesOf } from "../../../src/policy/budgets";
import { resolvePolicy } from "../../../src/policy/policy";
import { pyramidBudget, pyramidKvpress, tableBudget } from "../../reference/budgets";

const config = { layers: 4 } as Partial<ModelConfig> as ModelConfig;
const given = { ratio: 0.25, tokens: 1024, window: 20 };
const shares = (spec: BudgetSpec): readonly number[] => sharesOf(resolveBudget(spec, "tiers"), config, given);

describe("pyramid", () => {
  test("kvpress's values (its check C6), whose budgets leave the window out", () => {
    const [layers, tokens, window] = [4, 256, 8];
    const slots = pyramidSlots({ layers, tokens, window, mean: window + tokens / 2, beta: 20 });
    expect(slots.map((count) => count - window)).toEqual([248, 168, 88, 8]);
    expect(pyramidKvpress({ layers, tokens, window, removed: 0.5, beta: 20 })).toEqual([248, 168, 88, 8]);
  });

  test("keeps its slope where kvpress has none below beta windows", () => {
    const [layers, tokens, window] = [4, 4096, 64];
    expect(pyramidKvpress({ layers, tokens, window, removed: 0.75, beta: 20 })).toEqual([1024, 1024, 1024, 1024]);
    const slots = pyramidSlots({ layers, tokens, window, mean: 1024, beta: 20 });
    expect(slots[0]! / slots[3]!).toBeGreaterThan(10);
    expect(slots.reduce((a, b) => a + b, 0)).toBeCloseTo(4096, 6);
  });

  test("is the published rule, whatever the sizes", () => {
    const cases = fc.record({
      layers: fc.integer({ min: 1, max: 64 }),
      tokens: fc.integer({ min: 100, max: 8192 }),
      window: fc.integer({ min: 0, max: 64 }),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
      beta: fc.integer({ min: 2, max: 40 }),
    });
    fc.assert(
      fc.property(cases, ({ layers, tokens, window, part, beta }) => {
        const mean = window + part * (tokens - window);
        const slots = pyramidSlots({ layers, tokens, window, mean, beta });
        const published = pyramidBudget({ layers, tokens, window, mean, beta });
        for (const [layer, count] of slots.entries()) expect(Math.abs(count - published[layer]!)).toBeLessThanOrEqual(0.5 + 1e-6);
        expect(slots.reduce((a, b) => a + b, 0) / layers).toBeCloseTo(mean, 6);
      }),
    );
  });

  test("as parts of the bytes: falling, of sum 1", () => {
    const parts = shares({ kind: "pyramid" });
    expect(parts.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    expect(parts[0]!).toBeGreaterThan(2 * parts[2]!);
    expect(shares({ kind: "pyramid", beta: 1 })).toEqual([0.25, 0.25, 0.25, 0.25]);
  });
});

test("a table's parts may have any sum", () => {
  expect(shares({ kind: "table", table: [3, 0, 2, 5] })).toEqual([0.3, 0, 0.2, 0.5]);
  expect(shares({ kind: "uniform" })).toEqual([0.25, 0.25, 0.25, 0.25]);
});

test("a table in pages, the layers' rings counted, against the reference", () => {
  const cases = fc.record({
    table: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 2, maxLength: 12 }).filter((table) => table.some((part) => part > 0)),
    kvHeads: fc.integer({ min: 1, max: 4 }),
    ringSlots: fc.integer({ min: 2, max: 40 }),
    pages: fc.integer({ min: 6, max: 60 }), // a layer, about
  });
  const layout = choosePageLayout([formatByName("k4v4")], 64, 50_000);
  let apart = 0;
  fc.assert(
    fc.property(cases, ({ table, kvHeads, ringSlots, pages: about }) => {
      const shape = { layers: table.length, kvHeads, headSize: 64 };
      const ring = ringSlots * kvHeads * 64 * 4;
      const parts = sharesOf(resolveBudget({ kind: "table", table }, "tiers"), { layers: table.length } as ModelConfig, given);
      const fixed = { numFormats: 1, ringSlots, ringBits: 16 as const, statisticsBytes: 0 };
      const bytes = table.length * (about * layout.pageBytes + ring + 4096);
      const pages = pagesPerLayer(shape, layout, fixed, { bytes, shares: parts });
      const total = pages.reduce((a, b) => a + b, 0);
      expect(pages).toEqual(tableBudget(table, { total, ring: ring / layout.pageBytes, least: kvHeads }));
      if (Math.max(...pages) > 2 * Math.min(...pages)) apart++;
    }),
    // Two layers whose remainders are equal but for rounding.
    { examples: [[{ table: [8, 7, 2, 1, 6, 1], kvHeads: 3, ringSlots: 5, pages: 37 }]] },
  );
  expect(apart).toBeGreaterThan(0);
});

test("heads compete unless told not to", () => {
  expect(resolveBudget({ kind: "uniform" }, "tiers").perHead).toBe(true);
  expect(resolveBudget({ kind: "pyramid" }, "tiers")).toMatchObject({ perHead: false, safeguard: 0.2, beta: 20 });
  expect(resolveBudget({ kind: "pyramid", heads: "uniform" }, "tiers").perHead).toBe(true);
  expect(resolveBudget(undefined, "rate-distortion")).toMatchObject({ kind: "ada", safeguard: 0 });
});

test.each<[string, BudgetSpec, string]>([
  ["a table of another model", { kind: "table", table: [1, 2] }, "budget.table"],
  ["a negative part", { kind: "table", table: [1, 2, -1, 1] }, "budget.table"],
  ["parts that are all zero", { kind: "table", table: [0, 0, 0, 0] }, "budget.table"],
  ["no table", { kind: "table" }, "budget.table"],
  ["a pyramid upside down", { kind: "pyramid", beta: 0.5 }, "budget.beta"],
])("%s is refused", (_, spec, field) => {
  expect(() => shares(spec)).toThrowError(expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }));
});

test("one threshold over all layers needs a precision that has thresholds", () => {
  expect(() => resolvePolicy({ budget: { kind: "global" }, precision: { kind: "rate-distortion" } })).toThrow(/budget.kind/);
});

// auto: the seed's decision table, row by row, and the floor for reasoning.

import { expect, test } from "vitest";
import type { CacheOptions } from "../../../src/engine-types";
import { autoChoice } from "../../../src/policy/auto";
import { resolvePolicy } from "../../../src/policy/policy";
import { PRESETS } from "../../../src/policy/presets";

test.each([
  [2, "k16v16", "static", undefined],
  [8191, "k16v16", "static", undefined],
  [8192, "k16v16", "tiers", { ratio: 0.5 }],
  [32_768, "k16v16", "tiers", { ratio: 0.25 }],
  [131_072, "k2v2", "rate-distortion", { ratio: 0.1 }],
] as const)("%d tokens", (tokens, format, mode, budget) => {
  const choice = autoChoice({}, tokens, tokens * 1000);
  const policy = resolvePolicy(choice.policy);
  expect(policy.mode).toBe(mode);
  expect(policy.formats[0]?.name).toBe(format);
  expect(choice.budget).toEqual(budget);
});

test("the preset's sentence says from which length it compresses", () => {
  const compresses = (tokens: number): boolean => autoChoice({}, tokens, 1).policy !== "full";
  let [short, long] = [1, 1 << 20];
  while (long - short > 1) {
    const middle = Math.floor((short + long) / 2);
    if (compresses(middle)) long = middle;
    else short = middle;
  }
  expect(PRESETS.auto.sentence).toContain(`from ${long.toLocaleString("en")} tokens on`);
});

test("medium contexts go by H2O under PyramidKV's budgets, long ones by SnapKV's window of 64", () => {
  expect(resolvePolicy(autoChoice({}, 10_000, 1).policy)).toMatchObject({ score: { kind: "h2o" }, budget: { kind: "pyramid" } });
  expect(resolvePolicy(autoChoice({}, 40_000, 1).policy)).toMatchObject({ score: { kind: "snapkv", window: 64 } });
});

test("reasoning never gets less than 30 % of the bytes, whoever set the budget", () => {
  expect(autoChoice({ task: "reasoning" }, 200_000, 1000).budget).toEqual({ ratio: 0.3 });
  expect(autoChoice({ task: "reasoning", budget: { ratio: 0.05 } }, 200_000, 1000).budget).toEqual({ ratio: 0.3 });
  expect(autoChoice({ task: "reasoning", budget: { bytes: 100 } }, 200_000, 1000).budget).toEqual({ bytes: 300 });
  expect(autoChoice({ task: "reasoning" }, 10_000, 1000).budget).toEqual({ ratio: 0.5 });
});

test("a caller's budget takes the table's place, but a short context still gets none", () => {
  expect(autoChoice({ budget: { ratio: 0.2 } }, 40_000, 1).budget).toEqual({ ratio: 0.2 });
  expect(autoChoice({ budget: { ratio: 0.2 } }, 100, 1)).toEqual({ policy: "full" });
});

const refused: [string, object][] = [
  ["budget", { budget: 0.5 }],
  ["budget", { budget: {} }],
  ["budget", { budget: null }],
  ["budget.ratio", { budget: { ratio: 0 }, task: "reasoning" }], // not raised to the floor
  ["budget.ratio", { budget: { ratio: Number.NaN } }],
  ["budget.bytes", { budget: { bytes: 1.5 }, task: "reasoning" }],
  ["task", { task: "resoning" }],
  ["task", { task: "toString" }],
];

test.each(refused)("%s: %j is refused, however long the context", (field, options) => {
  for (const tokens of [100, 8192, 40_000])
    expect(() => autoChoice(options as CacheOptions, tokens, 1000)).toThrowError(
      expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }),
    );
});

test("the tasks there are", () => {
  expect(() => autoChoice({ task: "poetry" } as unknown as CacheOptions, 100, 1)).toThrowError(/chat, reasoning/);
  for (const task of ["chat", undefined] as const) expect(autoChoice({ task } as CacheOptions, 200_000, 1000).budget).toEqual({ ratio: 0.1 });
});

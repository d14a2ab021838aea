// compose: every preset is in the menu once, and what the composer shows of it is what it does.

import { expect, test } from "vitest";
import { BUDGET_KINDS, PRECISION_KINDS, SCORE_NAMES } from "../../../demo/choices";
import { DEFAULT_POLICY, groupPresets, POLICY_GROUPS, policyChoice } from "../../../demo/policies";
import {
  type Composed,
  composed,
  formatsOf,
  withBudget,
  withBudgetNumber,
  withFormats,
  withHeads,
  withPrecision,
  withRing,
  withSchedule,
  withScore,
  withTable,
} from "../../../demo/state/compose";
import { isEngineError } from "../../../src/errors";
import { resolvePolicy } from "../../../src/policy/policy";
import { isBudgeted, PRESET_NAMES, type Preset } from "../../../src/policy/presets";
import { SCORERS } from "../../../src/policy/scorers";

const preset = (source: string, kind: Preset["spec"]["precision"]["kind"]): Preset => ({ title: "", sentence: "", source, spec: { precision: { kind } } });

test("every preset is in the menu once, with a sentence and a source", () => {
  const listed = POLICY_GROUPS.flatMap(({ names }) => names);
  expect([...listed].sort()).toEqual([...PRESET_NAMES].sort());
  for (const name of listed) {
    const { title, sentence, source, budgeted } = policyChoice(name);
    expect(
      [title, sentence, source].every((text) => text.length > 2),
      name,
    ).toBe(true);
    expect(budgeted).toBe(isBudgeted(name));
  }
  expect(listed).toContain(DEFAULT_POLICY);
  expect(POLICY_GROUPS[0]?.names).toContain(DEFAULT_POLICY);
});

test("groups follow from source and precision; the page's own come first, empty ones are left out", () => {
  const groups = groupPresets({ a: preset("Li", "uniform"), b: preset("Li", "evict-only"), c: preset("Lacuna", "uniform"), d: preset("Oren", "evict-only") });
  expect(groups.map(({ names }) => names)).toEqual([["c"], ["b", "d"], ["a"]]);
  expect(new Set(groups.map(({ title }) => title)).size).toBe(3);
});

test("the composer offers every score that the engine has", () => {
  expect([...SCORE_NAMES].sort()).toEqual(SCORERS.map(({ name }) => name).sort());
});

test.each(PRESET_NAMES)("%s resolves to the same policy before and after the composer has said its defaults outright", (name) => {
  for (const ratio of [1, 0.0625]) {
    const { name: _, ...before } = resolvePolicy(name, undefined, ratio);
    const { name: __, ...after } = resolvePolicy(composed(name), undefined, ratio);
    expect(after, `at ${ratio}`).toEqual(before);
  }
});

test("what a choice starts from is what the engine takes where nothing is said", () => {
  const base = { score: { kind: "snapkv" } } as const;
  for (const kind of BUDGET_KINDS.filter((name) => name !== "table")) {
    const budget = { kind };
    const spec = { ...base, budget, precision: { kind: "evict-only" } } as const;
    expect(resolvePolicy(withBudget(composed(spec), kind)), kind).toEqual(resolvePolicy(spec));
  }
  for (const kind of PRECISION_KINDS) {
    const spec = { ...base, precision: { kind } };
    expect(resolvePolicy(withPrecision(composed(spec), kind)), kind).toEqual(resolvePolicy(spec));
  }
});

test("a change replaces its choice and leaves the others, also those that no control shows", () => {
  const spec = composed({ score: { kind: "snapkv", window: 32 }, budget: { kind: "ada", safeguard: 0.5 }, precision: { kind: "evict-only" }, sinks: 2 });
  expect(withScore(spec, "tova")).toEqual({ ...spec, score: { kind: "tova" } });
  expect(withBudget(spec, "dynamic").budget).toEqual({ kind: "dynamic", heads: "uniform" });
  expect(withHeads(spec, "uniform").budget).toEqual({ kind: "ada", heads: "uniform", safeguard: 0.5 });
  expect(withBudgetNumber(spec, "safeguard", 0.1).budget).toEqual({ kind: "ada", heads: "ada", safeguard: 0.1 });
  expect(withBudgetNumber(spec, "safeguard", undefined).budget).toEqual({ kind: "ada", heads: "ada" });
  expect(withTable(spec, "4, 2 1;1,").budget.table).toEqual([4, 2, 1, 1]);
  expect(withRing(spec, 32)).toEqual({ ...spec, ring: 32 });
  expect(withRing(withRing(spec, 32), undefined)).toEqual(spec);
  expect(Object.keys(spec)).not.toContain("ring"); // it follows the budget
  expect(withSchedule(spec, "every", 64).schedule).toEqual({ kind: "every", tokens: 64 });
  expect(withSchedule(spec, "prefill").schedule).toEqual({ kind: "prefill" });
});

test("formats: one where one is used, several where they are chosen from, none for the engine's choice; thresholds go with the tiers they were for", () => {
  const spec = composed({ precision: { kind: "tiers", formats: ["k2v2", "k4v4"], thresholds: [1, 2] } });
  expect(withFormats(spec, ["k8v8"]).precision).toEqual({ kind: "tiers", formats: ["k8v8"] });
  expect(withFormats(withPrecision(spec, "uniform"), ["k8v4"]).precision).toEqual({ kind: "uniform", format: "k8v4" });
  const open = withFormats(withPrecision(spec, "rate-distortion"), []);
  expect(open.precision).toEqual({ kind: "rate-distortion" });
  expect(formatsOf(open)).toEqual([]);
  expect(formatsOf(spec)).toEqual(["k2v2", "k4v4"]);
});

test("a policy of one's own is called custom and says what it is made of; it takes a budget unless every token stays in one format", () => {
  const spec = withScore(composed("ada-snapkv"), "keydiff");
  expect(policyChoice(spec)).toMatchObject({ name: "custom", title: "Custom", source: "", budgeted: true });
  expect(policyChoice(spec).sentence).toContain("Key difference");
  expect(policyChoice(withPrecision(spec, "uniform"))).toMatchObject({ budgeted: false, sentence: "Bits: the same for all (k4v4)." });
});

test("what does not go together, and a table that is not one, are the engine's to refuse", () => {
  const code = (spec: Composed): unknown => {
    try {
      return resolvePolicy(spec).name;
    } catch (error) {
      return isEngineError(error) ? [error.code, error.details.field] : error;
    }
  };
  expect(code(withBudget(composed("rate-distortion"), "global"))).toEqual(["BAD_OPTION", "budget.kind"]);
  expect(code(withTable(withBudget(composed("snapkv"), "table"), "4, much, 1"))).toEqual(["BAD_OPTION", "budget.table"]);
});

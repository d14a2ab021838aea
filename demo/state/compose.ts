// compose: a policy of one's own, one choice changed at a time. Pure; whether the choices go together is for the engine to say.

import type { BudgetSpec, FormatName, PolicySpec, PresetName, ScoreName, ScoreSpec } from "../../src/engine-types";
import { PRESETS } from "../../src/policy/presets";
import { BUDGETS, type BudgetKind, type BudgetNumber, PRECISIONS, type PrecisionKind, type ScheduleKind } from "../choices";

/** A policy with what the menus show said outright. What they do not show stays as it was; so does the ring, which follows the budget where it is not set. */
export interface Composed extends PolicySpec {
  readonly score: ScoreSpec & { readonly kind: ScoreName };
  readonly budget: BudgetSpec & { readonly heads: "uniform" | "ada" };
  readonly schedule: NonNullable<PolicySpec["schedule"]>;
}

/** The engine's defaults, said outright. Sound: every preset resolves to the same policy before and after (compose.test.ts). */
export function composed(policy: PresetName | PolicySpec): Composed {
  const spec: PolicySpec = typeof policy === "string" ? PRESETS[policy].spec : policy;
  const score = spec.score && spec.score.kind !== "none" ? { ...spec.score, kind: spec.score.kind } : ({ kind: "ensemble" } as const);
  const budget = spec.budget ?? { kind: "ada" };
  const heads = budget.heads ?? BUDGETS[budget.kind].heads;
  return { ...spec, score, budget: { ...budget, heads }, schedule: spec.schedule ?? { kind: "ring" } };
}

/** Another score has settings of its own: those of the last one go. */
export function withScore(spec: Composed, kind: ScoreName): Composed {
  return { ...spec, score: { kind } };
}

export function withBudget(spec: Composed, kind: BudgetKind): Composed {
  return { ...spec, budget: { kind, heads: BUDGETS[kind].heads } };
}

export function withHeads(spec: Composed, heads: "uniform" | "ada"): Composed {
  return { ...spec, budget: { ...spec.budget, heads } };
}

/** @param value undefined: the method's own */
export function withBudgetNumber(spec: Composed, name: BudgetNumber, value: number | undefined): Composed {
  const { [name]: _, ...budget } = spec.budget;
  return { ...spec, budget: value === undefined ? budget : { ...budget, [name]: value } };
}

/** @param text numbers between spaces or commas */
export function withTable(spec: Composed, text: string): Composed {
  const table = text
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map(Number);
  return { ...spec, budget: { ...spec.budget, table } };
}

export function withPrecision(spec: Composed, kind: PrecisionKind): Composed {
  return { ...spec, precision: { kind, ...formatFields(kind, PRECISIONS[kind].formats) } };
}

/** No format: the engine chooses. The thresholds of tiers belong to the formats they were written for. */
export function withFormats(spec: Composed, formats: readonly FormatName[]): Composed {
  const { format: _, formats: __, thresholds, ...rest } = spec.precision;
  const kept = thresholds && rest.kind !== "tiers" ? { thresholds } : {};
  return { ...spec, precision: { ...rest, ...kept, ...formatFields(rest.kind, formats) } };
}

/** @param tokens of "every"; undefined: the engine's own */
export function withSchedule(spec: Composed, kind: ScheduleKind, tokens?: number): Composed {
  return { ...spec, schedule: tokens === undefined ? { kind } : { kind, tokens } };
}

/** @param ring undefined: by the budget */
export function withRing(spec: Composed, ring: number | undefined): Composed {
  const { ring: _, ...rest } = spec;
  return ring === undefined ? rest : { ...rest, ring };
}

export function formatsOf({ precision }: PolicySpec): readonly FormatName[] {
  return precision.formats ?? (precision.format ? [precision.format] : PRECISIONS[precision.kind].formats);
}

function formatFields(kind: PrecisionKind, formats: readonly FormatName[]): { format?: FormatName; formats?: readonly FormatName[] } {
  const [first] = formats;
  if (!first) return {};
  return PRECISIONS[kind].several ? { formats } : { format: first };
}

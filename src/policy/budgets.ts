// budgets: who gets how much. A rule for the heads of a layer (choose-formats follows it) and one for the layers, as parts of the bytes.
// Leaves to others: pages (src/cache/page-layout), layers that are weighed against each other as their prompts come in (src/cache/layer-pages).

import type { PolicySpec } from "../engine-types";
import type { ModelConfig } from "../model/model-config";
import type { Calibration } from "./calibration";
import { bad, whole, within } from "./checks";
import { layerShares } from "./layer-shares";

type BudgetSpec = NonNullable<PolicySpec["budget"]>;
export type BudgetKind = BudgetSpec["kind"];

export interface BudgetRule {
  readonly kind: BudgetKind;
  /** Heads have thresholds of their own, or compete within a layer. */
  readonly perHead: boolean;
  /** Part of a layer's pages that is divided evenly before heads compete. */
  readonly safeguard: number;
  /** pyramid: how steep. */
  readonly beta: number;
  /** table: the layers' parts, as given. */
  readonly table: readonly number[];
  /** Layers' budgets follow what their prompts hold. */
  readonly weighsLayers: boolean;
  /** cake: what the layers' preferences are taken by. */
  readonly preference?: { readonly temperatures: readonly [number, number]; readonly window: number };
  /** Most times its equal share that one layer may hold, where layers are weighed against each other; else 1. */
  readonly slack: number;
}

/** What a budget is for. */
export interface BudgetCase {
  /** Part of the full 16-bit cache. */
  readonly ratio: number;
  /** Tokens at most: prompt and new ones. */
  readonly tokens: number;
  /** Tokens that every layer keeps whatever its share: sinks and ring. */
  readonly window: number;
  readonly calibration?: Calibration;
}

/** AdaKV's safeguard (Feng et al. 2024), PyramidKV's beta (Cai et al. 2024). */
const DEFAULTS = { safeguard: 0.2, beta: 20 } as const;

const SHARES: Readonly<Record<BudgetKind, (config: ModelConfig, given: BudgetCase, rule: BudgetRule) => readonly number[]>> = {
  uniform: equalShares,
  ada: equalShares,
  shares: (config, { ratio, calibration }) => layerShares(config, ratio, calibration),
  pyramid: ({ layers }, { ratio, tokens, window }, { beta }) => parts(pyramidSlots({ layers, tokens, window, mean: ratio * tokens, beta })),
  table: ({ layers }, _, { table }) => {
    if (table.length !== layers) throw bad("budget.table", `${table.length} numbers`, `${layers} numbers, one a layer of this model`);
    return parts(table);
  },
  global: equalShares,
  dynamic: equalShares,
  cake: equalShares,
};

/** Layers are weighed against each other, at most so many times an equal part: KV-Compress has no bound, DynamicKV has 10, CAKE the whole prompt. */
const SLACK: Partial<Readonly<Record<BudgetKind, number>>> = { global: 4, dynamic: 10, cake: 10 };

/** CAKE tabulates its temperatures by model and budget; where a model is in no table, both measures count as they are. */
const PREFERENCE = { temperatures: [1, 1], window: 32 } as const;

/** @param mode tiers have a safeguard by default, rate-distortion none. Throws BAD_OPTION. */
export function resolveBudget(spec: PolicySpec["budget"], mode: "static" | "tiers" | "rate-distortion"): BudgetRule {
  const kind = spec?.kind ?? "ada";
  if (!Object.hasOwn(SHARES, kind)) throw bad("budget.kind", kind, Object.keys(SHARES).join(", "));
  const weighsLayers = kind in SLACK;
  if (weighsLayers && mode !== "tiers")
    throw bad("budget.kind", kind, `${kind} with precision evict-only, tiers, agacc, where what a slot gets goes by importance alone`);
  const table = spec?.table ?? [];
  if (kind === "table" && table.length === 0) throw bad("budget.table", "nothing", "a part for every layer");
  if (!Array.isArray(table) || table.some((part) => !(part >= 0 && Number.isFinite(part)))) throw bad("budget.table", table, "numbers, none negative");
  if (kind === "table" && !table.some((part) => part > 0)) throw bad("budget.table", table, "numbers that are not all zero");
  return {
    kind,
    perHead: spec?.heads === undefined ? kind === "uniform" || kind === "dynamic" || kind === "cake" : spec.heads === "uniform",
    safeguard: within("budget.safeguard", spec?.safeguard ?? (mode === "tiers" && !weighsLayers ? DEFAULTS.safeguard : 0), 0, 1),
    beta: within("budget.beta", spec?.beta ?? DEFAULTS.beta, 1, 1000),
    table: [...table],
    weighsLayers,
    ...(kind === "cake" ? { preference: resolvePreference(spec) } : {}),
    slack: within("budget.slack", (weighsLayers ? spec?.slack : undefined) ?? SLACK[kind] ?? 1, 1, 64),
  };
}

function resolvePreference(spec: PolicySpec["budget"]): NonNullable<BudgetRule["preference"]> {
  const temperatures = spec?.temperatures ?? PREFERENCE.temperatures;
  if (!Array.isArray(temperatures) || temperatures.length !== 2) throw bad("budget.temperatures", temperatures, "two numbers, tau1 and tau2");
  const [tau1, tau2] = temperatures as [number, number];
  return {
    temperatures: [within("budget.temperatures", tau1, 0.05, 100), within("budget.temperatures", tau2, 0.05, 100)],
    window: whole("budget.window", spec?.window ?? PREFERENCE.window, 1, 4096),
  };
}

/** Each layer's part of the bytes; they sum to 1. Throws BAD_OPTION where a table is of another model. */
export function sharesOf(rule: BudgetRule, config: ModelConfig, given: BudgetCase): readonly number[] {
  return SHARES[rule.kind](config, given, rule);
}

/**
 * PyramidKV's slots of a kv head by layer (Cai et al. 2024; methods 2.5), not rounded: a line from 2 base - base / beta + window down to base / beta + window,
 * base = mean - window; where the first layer has fewer tokens than that, the last ones get what it leaves.
 */
export function pyramidSlots(given: { layers: number; tokens: number; window: number; mean: number; beta: number }): number[] {
  const { layers, tokens, window, mean, beta } = given;
  const base = Math.max(0, Math.min(mean, tokens) - window);
  const most = Math.min(2 * base - base / beta, tokens - window);
  const least = 2 * base - most;
  return Array.from({ length: layers }, (_, layer) => window + (layers === 1 ? base : most - (layer * (most - least)) / (layers - 1)));
}

function equalShares({ layers }: ModelConfig): number[] {
  return Array<number>(layers).fill(1 / layers);
}

function parts(values: readonly number[]): number[] {
  const sum = values.reduce((a, b) => a + b, 0);
  return values.map((value) => (sum > 0 ? value / sum : 1 / values.length));
}

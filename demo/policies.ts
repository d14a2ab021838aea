// policies: the presets as the menu shows them, and a policy of one's own beside them. What they do is the engine's business.

import type { PolicySpec, PresetName } from "../src/engine-types";
import { isBudgeted, PRESET_NAMES, PRESETS, type Preset } from "../src/policy/presets";
import { BUDGETS, PRECISION_KINDS, PRECISIONS, SCORES } from "./choices";

export interface PolicyChoice {
  /** Preset's name, or "custom". */
  readonly name: PresetName | "custom";
  readonly title: string;
  readonly sentence: string;
  /** Paper or formula; empty for a policy of one's own. */
  readonly source: string;
  /** Whether the policy spends a budget or has one size. */
  readonly budgeted: boolean;
  /** Why it has no cold tier, in one sentence; undefined where it can have one. */
  readonly noCold: string | undefined;
}

export interface PolicyGroup {
  readonly title: string;
  readonly names: readonly PresetName[];
}

/** What the page starts with: Lacuna's own rule. */
export const DEFAULT_POLICY: PresetName = PRESET_NAMES.find((name: string) => name === "lacuna") ?? "rate-distortion";

/** The menu: Lacuna's own first, then by what happens to a token. */
export const POLICY_GROUPS: readonly PolicyGroup[] = groupPresets(PRESETS).map(({ title, names }) => ({ title, names: names as PresetName[] }));

export function policyChoice(policy: PresetName | PolicySpec): PolicyChoice {
  if (typeof policy !== "string") {
    const budgeted = spendsBudget(policy);
    return { name: "custom", title: "Custom", sentence: describe(policy), source: "", budgeted, noCold: noCold(policy, budgeted) };
  }
  const { title, sentence, source, spec }: Preset = PRESETS[policy];
  const budgeted = isBudgeted(policy);
  return { name: policy, title, sentence, source, budgeted, noCold: noCold(spec, budgeted) };
}

/** Presets by group, in the presets' own order; groups that would be empty are left out. */
export function groupPresets(presets: Readonly<Record<string, Preset>>): { title: string; names: string[] }[] {
  const own = "Lacuna's own";
  const groupOf = (name: string): string | undefined => {
    const preset = presets[name];
    // What auto does depends on the context: its own spec is that of short ones.
    return name === "auto" || preset?.source.startsWith("Lacuna") ? own : preset && PRECISIONS[preset.spec.precision.kind].group;
  };
  return [...new Set([own, ...PRECISION_KINDS.map((kind) => PRECISIONS[kind].group)])]
    .map((title) => ({ title, names: Object.keys(presets).filter((name) => groupOf(name) === title) }))
    .filter(({ names }) => names.length > 0);
}

/** isBudgeted, of a policy of one's own. */
function spendsBudget({ precision }: PolicySpec): boolean {
  return precision.kind !== "uniform";
}

function noCold({ propagate }: PolicySpec, budgeted: boolean): string | undefined {
  if (!budgeted) return "This policy drops nothing.";
  return propagate && "Not with this policy: its upper layers see only part of the prompt, and cannot give back what never reached them.";
}

function describe(spec: PolicySpec): string {
  const { score, budget, precision } = spec;
  const formats = (precision.formats ?? (precision.format ? [precision.format] : [])).join(", ");
  const judged = [
    score && score.kind !== "none" ? `score: ${SCORES[score.kind].title}` : "",
    budget ? `budget: ${BUDGETS[budget.kind].title.toLowerCase()}` : "",
  ].filter(Boolean);
  const bits = `bits: ${PRECISIONS[precision.kind].title.toLowerCase()}${formats ? ` (${formats})` : ""}`;
  const sentence = [...(spendsBudget(spec) ? judged : []), bits].join("; ");
  return `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}.`;
}

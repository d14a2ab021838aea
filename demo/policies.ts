// policies: the presets as the menu shows them. What they do is the engine's business.

import { isBudgeted, PRESET_NAMES, PRESETS, type PresetName } from "../src/policy/presets";

export interface PolicyChoice {
  readonly name: PresetName;
  readonly title: string;
  readonly sentence: string;
  readonly source: string;
  /** Whether the policy spends a budget or has one size. */
  readonly budgeted: boolean;
}

export const POLICIES: readonly PolicyChoice[] = PRESET_NAMES.map(policyChoice);

export function policyChoice(name: PresetName): PolicyChoice {
  const { title, sentence, source } = PRESETS[name];
  return { name, title, sentence, source, budgeted: isBudgeted(name) };
}

// policies: the presets as the menu shows them. What they do is the engine's business.

import type { PresetName } from "../src/engine-types";

export interface PolicyChoice {
  readonly name: PresetName;
  readonly title: string;
  readonly sentence: string;
  /** Whether the policy spends a budget or has one size. */
  readonly budgeted: boolean;
}

export const POLICIES: readonly PolicyChoice[] = [
  {
    name: "rate-distortion",
    title: "Rate-distortion",
    sentence: "Every token gets as many bits as it is worth; the least useful ones are dropped.",
    budgeted: true,
  },
  {
    name: "expected-attention",
    title: "Expected attention",
    sentence: "Keeps the tokens future queries should look at, in 16 bits, and drops the rest.",
    budgeted: true,
  },
  { name: "uniform-8", title: "Uniform 8 bits", sentence: "Keeps every token, all in 8 bits.", budgeted: false },
  { name: "uniform-4", title: "Uniform 4 bits", sentence: "Keeps every token, all in 4 bits.", budgeted: false },
  { name: "full", title: "Full", sentence: "Keeps every token in 16 bits: pane B then equals pane A.", budgeted: false },
];

export function policyChoice(name: PresetName): PolicyChoice {
  return POLICIES.find((policy) => policy.name === name) ?? (POLICIES[0] as PolicyChoice);
}

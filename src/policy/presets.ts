// presets: policies by their published names, as data, each with one sentence and its source. The menu, the command line and the engine read
// the same list. Leaves to others: filling in what a policy leaves open (policy.ts).

import type { PolicySpec } from "../engine-types";

export interface Preset {
  readonly title: string;
  readonly sentence: string;
  /** Paper, formula or seed it comes from. */
  readonly source: string;
  readonly spec: PolicySpec;
}

/** AdaKV over 16-bit slots: how kvpress's leaderboard runs a score. */
const ADA = { budget: { kind: "ada" }, precision: { kind: "evict-only" } } as const;

export const PRESETS = {
  "rate-distortion": {
    title: "Rate-distortion",
    sentence: "Every token gets as many bits as it is worth; the least useful ones are dropped.",
    source: "Lacuna",
    spec: { score: { kind: "ensemble" }, budget: { kind: "shares" }, precision: { kind: "rate-distortion" } },
  },
  "expected-attention": {
    title: "Expected attention",
    sentence: "Keeps the tokens future queries should look at, in 16 bits, and drops the rest.",
    source: "Devoto et al. 2025",
    spec: { score: { kind: "expected-attention", epsilon: 0.01 }, ...ADA },
  },
  "uniform-8": { title: "Uniform 8 bits", sentence: "Keeps every token, all in 8 bits.", source: "QuaRot", spec: uniform("k8v8") },
  "uniform-4": { title: "Uniform 4 bits", sentence: "Keeps every token, all in 4 bits.", source: "QuaRot", spec: uniform("k4v4") },
  full: { title: "Full", sentence: "Keeps every token in 16 bits.", source: "no compression", spec: uniform("k16v16") },
} as const satisfies Readonly<Record<string, Preset>>;

export type PresetName = keyof typeof PRESETS;

export const PRESET_NAMES = Object.keys(PRESETS) as readonly PresetName[];

/** True for presets that drop tokens or choose bits, and so spend a budget; the others have one size. */
export function isBudgeted(name: PresetName): boolean {
  return PRESETS[name].spec.precision.kind !== "uniform";
}

function uniform<Name extends "k16v16" | "k8v8" | "k4v4" | "k2v2">(format: Name) {
  return { precision: { kind: "uniform", format } } as const;
}

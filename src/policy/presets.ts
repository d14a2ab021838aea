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

/** 16-bit slots, the same number in every head. */
const UNIFORM = { budget: { kind: "uniform" }, precision: { kind: "evict-only" } } as const;

export const PRESETS = {
  lacuna: {
    title: "Lacuna",
    sentence: "Every token gets as many bits as it is worth to each head; the least useful ones are dropped.",
    source: "Lacuna, one pass over the prompt",
    spec: { score: { kind: "ensemble" }, budget: { kind: "shares" }, precision: { kind: "rate-distortion" } },
  },
  "lacuna-thorough": {
    title: "Lacuna, thorough",
    sentence: "The same after reading the prompt twice: what is looked up to repeat it counts too.",
    source: "Lacuna with KVzip's replay",
    spec: { score: { kind: "ensemble-replay" }, budget: { kind: "shares" }, precision: { kind: "rate-distortion" } },
  },
  auto: {
    title: "Automatic",
    sentence: "Chooses by the length of the context: compresses from 8,192 tokens on, the longer the more; below that, nothing.",
    source: "a decision table over the literature",
    spec: uniform("k16v16"), // where the context is short; src/policy/auto.ts has the table
  },
  "rate-distortion": {
    title: "Rate-distortion",
    sentence: "Lacuna's rule with formats that need no calibration.",
    source: "Lacuna",
    spec: { score: { kind: "ensemble" }, budget: { kind: "shares" }, precision: { kind: "rate-distortion", formats: ["k2v2", "k4v2", "k4v4", "k8v8"] } },
  },
  "expected-attention": {
    title: "Expected attention",
    sentence: "Keeps the tokens future queries should look at, in 16 bits, and drops the rest.",
    source: "Devoto et al. 2025",
    spec: { score: { kind: "expected-attention", epsilon: 0.01 }, ...ADA },
  },
  snapkv: {
    title: "SnapKV",
    sentence: "Keeps the end of the prompt and what it looks at, with the neighbours.",
    source: "Li et al. 2024",
    spec: { score: { kind: "snapkv" }, ...UNIFORM },
  },
  "ada-snapkv": {
    title: "Ada-SnapKV",
    sentence: "SnapKV whose heads compete for the room, so that those that look widely keep more.",
    source: "Feng et al. 2024",
    spec: { score: { kind: "snapkv" }, ...ADA },
  },
  tova: {
    title: "TOVA",
    sentence: "Keeps what the last token looks at, the same for all heads of a layer.",
    source: "Oren et al. 2024",
    spec: { score: { kind: "tova" }, ...UNIFORM },
  },
  h2o: {
    title: "H2O",
    sentence: "Keeps the heavy hitters: what all tokens so far have looked at most.",
    source: "Zhang et al. 2023",
    spec: { score: { kind: "h2o" }, ...UNIFORM },
  },
  criticalkv: {
    title: "CriticalKV",
    sentence: "Keeps what is looked at and also moves the output: attention times the size of the projected value.",
    source: "Feng et al. 2025",
    spec: { score: { kind: "critical" }, ...ADA },
  },
  defensivekv: {
    title: "DefensiveKV",
    sentence: "Keeps what any head at the end of the prompt ever looked at hard: prepared for the worst case.",
    source: "Feng et al. 2026",
    spec: { score: { kind: "defensive" }, ...ADA },
  },
  "attention-history": {
    title: "Attention history",
    sentence: "Keeps what the tokens after it went on looking at, beyond what its distance explains.",
    source: "AGACC",
    spec: { score: { kind: "attention-history" }, ...ADA },
  },
  pyramidkv: {
    title: "PyramidKV",
    sentence: "SnapKV with more room in the first layers than in the last.",
    source: "Cai et al. 2024",
    spec: { score: { kind: "snapkv" }, budget: { kind: "pyramid", heads: "uniform" }, precision: { kind: "evict-only" } },
  },
  "kv-compress": {
    title: "KV-Compress",
    sentence: "SnapKV's score under one threshold for all layers and heads, by whole pages.",
    source: "Rehg 2024",
    spec: { score: { kind: "snapkv", window: 32, pool: 7, poolKind: "max" }, budget: { kind: "global" }, precision: { kind: "evict-only" } },
  },
  dynamickv: {
    title: "DynamicKV",
    sentence: "SnapKV whose layers get room by how many of the best scores they hold.",
    source: "Zhou et al. 2024",
    spec: { score: { kind: "snapkv", window: 8, pool: 7, poolKind: "max" }, budget: { kind: "dynamic" }, precision: { kind: "evict-only" } },
  },
  cake: {
    title: "CAKE",
    sentence: "Layers that spread and shift their attention get more room; what is looked at by fits and starts counts.",
    source: "Qin et al. 2025",
    spec: { score: { kind: "cake" }, budget: { kind: "cake" }, precision: { kind: "evict-only" } },
  },
  keydiff: {
    title: "KeyDiff",
    sentence: "Keeps the tokens whose keys are unlike the others.",
    source: "Park et al. 2025",
    spec: { score: { kind: "keydiff" }, ...UNIFORM },
  },
  knorm: {
    title: "Knorm",
    sentence: "Keeps the tokens with short keys, which get more attention.",
    source: "Devoto et al. 2024",
    spec: { score: { kind: "knorm" }, ...UNIFORM },
  },
  lagkv: {
    title: "LagKV",
    sentence: "Keeps the tokens that stand out when measured by those that follow.",
    source: "Liang et al. 2025",
    spec: { score: { kind: "lagkv" }, ...UNIFORM },
  },
  "r-kv": {
    title: "R-KV",
    sentence: "Keeps what is looked at and not said again later; made for long outputs.",
    source: "Cai et al. 2025",
    spec: { score: { kind: "r-kv" }, ...UNIFORM },
  },
  kvzip: {
    title: "KVzip",
    sentence: "Keeps what the model looks up when it is told to repeat the context.",
    source: "Kim et al. 2025",
    spec: { score: { kind: "kvzip" }, budget: { kind: "global" }, precision: { kind: "evict-only" } },
  },
  "streaming-llm": {
    title: "StreamingLLM",
    sentence: "Keeps the first tokens and the latest ones, and forgets the middle.",
    source: "Xiao et al. 2024",
    spec: { score: { kind: "streaming-llm" }, ...UNIFORM },
  },
  random: {
    title: "Random",
    sentence: "Keeps tokens at random: what every method must beat.",
    source: "a baseline",
    spec: { score: { kind: "random" }, ...UNIFORM },
  },
  agacc: {
    title: "AGACC",
    sentence: "Gives each token bits and channels by what the tokens after it went on looking at, judged anew as the text goes on, and drops the rest.",
    source: "AGACC",
    // Every section of the proposal, in its order: 2.2, 2.3 and 2.5; 2.4.1, with 2.4.2 from 4 bits on, as masks eat what 2 bits save; 2.4.3; 2.6.
    spec: {
      score: { kind: "attention-history" },
      budget: { kind: "ada" },
      precision: { kind: "agacc", quantizer: "deviation", bits: [4, 8], prune: { most: 0.9 } },
      markers: { count: 4, kind: "plain" },
      reevaluate: { every: 64 },
    },
  },
  // The last 64 tokens, which the paper leaves alone, are SnapKV's window: first in rank, so in the better format. The paper's score is the group's best head.
  diffkv: {
    title: "DiffKV",
    sentence: "Keys in more bits than values, both in more where attention is above average, and nothing where it is next to none.",
    source: "Zhang et al. 2025",
    spec: {
      score: { kind: "snapkv", window: 64, pool: 1 },
      budget: { kind: "ada" },
      precision: { kind: "tiers", formats: ["k4v2", "k8v4"], thresholds: [0.02, 1] },
    },
  },
  // Paper: one set of pages per query head and 16 bits; here per kv head, shared by its group.
  quest: {
    title: "Quest",
    sentence: "Keeps every token and reads, of each head's, only the pages whose bounds promise most.",
    source: "Tang et al. 2024",
    spec: { ...uniform("k16v16"), read: { kind: "quest" } },
  },
  // Stage 1 drops for good, of the prompt alone; without a budget it keeps C1 tokens, as the paper splits them (src/policy/reading.ts).
  rocketkv: {
    title: "RocketKV",
    sentence: "Drops what the end of the prompt does not look at, and reads for every token only what a sketch of the rest promises.",
    source: "Behnam et al. 2025",
    spec: {
      score: { kind: "snapkv", window: 32, pool: 63, poolKind: "max" },
      ...UNIFORM,
      schedule: { kind: "prefill" },
      read: { kind: "rocket" },
    },
  },
  "rocketkv-mt": {
    title: "RocketKV-MT",
    sentence: "RocketKV for several turns: each reads what the end of its prompt looks at, and a sketch of that; nothing is dropped.",
    source: "Behnam et al. 2025",
    spec: { ...uniform("k16v16"), read: { kind: "rocket", turn: {} } },
  },
  // Layers above the middle hold a fifth of the prompt at most, however large the budget. Paper: 15 of 32 layers; rates by layer are the same here.
  fastkv: {
    title: "FastKV",
    sentence: "Half of the layers read the whole prompt, the others only the fifth of it that its end looks at; made to read prompts faster.",
    source: "Jo et al. 2025",
    spec: { score: { kind: "snapkv", window: 8, pool: 7 }, ...UNIFORM, propagate: { rate: 0.2, window: 8, pool: 7 } },
  },
  freekv: {
    title: "FreeKV",
    sentence: "Quest with pages of 32 that are chosen anew only where a head's queries turn away from those that chose.",
    source: "FreeKV 2026",
    spec: { ...uniform("k16v16"), read: { kind: "quest", chunk: 32, reselect: 0.85 } },
  },
  "uniform-8": { title: "Uniform 8 bits", sentence: "Keeps every token, all in 8 bits.", source: "QuaRot", spec: uniform("k8v8") },
  "uniform-4": { title: "Uniform 4 bits", sentence: "Keeps every token, all in 4 bits.", source: "QuaRot", spec: uniform("k4v4") },
  "uniform-2": { title: "Uniform 2 bits", sentence: "Keeps every token, all in 2 bits.", source: "QuaRot", spec: uniform("k2v2") },
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

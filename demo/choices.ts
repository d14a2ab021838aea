// choices: what a policy can be composed of, one title and one sentence each. The types make the lists complete: a score, budget, precision or
// format that the engine learns is missing here until it is described. What is possible together is the engine's business: it refuses the rest.

import type { BudgetSpec, FormatName, PolicySpec, ScoreName } from "../src/engine-types";

export interface Choice {
  readonly title: string;
  readonly sentence: string;
}

export type BudgetKind = BudgetSpec["kind"];
export type PrecisionKind = PolicySpec["precision"]["kind"];
export type ScheduleKind = NonNullable<PolicySpec["schedule"]>["kind"];
/** The numbers that a budget reads. */
export type BudgetNumber = "safeguard" | "beta" | "slack";

export const SCORES: Readonly<Record<ScoreName, Choice>> = {
  ensemble: { title: "Ensemble", sentence: "Expected attention, what the last tokens look at, and how unlike the others a key is, together." },
  "ensemble-replay": { title: "Ensemble with replay", sentence: "The ensemble, or what a second reading of the prompt looks at, whichever is more." },
  "expected-attention": { title: "Expected attention", sentence: "The attention that queries like those of this prompt should pay." },
  "expected-attention-stats": { title: "Expected attention, stored", sentence: "The same of the queries that were seen when the model was calibrated." },
  snapkv: { title: "SnapKV", sentence: "What the last queries of the prompt look at, with the neighbours." },
  tova: { title: "TOVA", sentence: "What the last query looks at, the same for all heads of a layer." },
  h2o: { title: "H2O", sentence: "The attention received from every query so far." },
  "attention-history": { title: "Attention history", sentence: "The attention received since, beyond what the distance explains." },
  defensive: { title: "Defensive", sentence: "The most that any of the last queries pays: the worst case instead of the mean." },
  critical: { title: "Critical", sentence: "Attention times the length of what the value adds to the output." },
  kvzip: { title: "KVzip", sentence: "The most attention that a replay of the whole prompt pays; reads it twice." },
  "r-kv": { title: "R-KV", sentence: "Attention minus redundancy: what is said again later counts less." },
  cake: { title: "CAKE", sentence: "What the end of the prompt looks at, on average or by fits and starts." },
  keydiff: { title: "Key difference", sentence: "How unlike the other keys a key is." },
  knorm: { title: "Key norm", sentence: "Short keys count more: they get more attention." },
  "value-norm": { title: "Value norm", sentence: "Long values count more: they change the output more." },
  lagkv: { title: "LagKV", sentence: "How much a token stands out against those that follow it." },
  qfilter: { title: "Q-filter", sentence: "How far a key lies along the direction its head's queries look in; needs a calibration." },
  "streaming-llm": { title: "Position", sentence: "The first tokens and the latest ones, whatever they say." },
  random: { title: "Random", sentence: "A number drawn for every token: what any score must beat." },
};

export const BUDGETS: Readonly<Record<BudgetKind, Choice & { readonly heads: "uniform" | "ada"; readonly numbers: readonly BudgetNumber[] }>> = {
  uniform: { title: "The same everywhere", sentence: "Every layer and every head gets the same room.", heads: "uniform", numbers: [] },
  ada: {
    title: "Heads compete",
    sentence: "Layers get the same, the heads of a layer compete for it (AdaKV), but for a part that is shared evenly: the safeguard.",
    heads: "ada",
    numbers: ["safeguard"],
  },
  shares: { title: "The model's shares", sentence: "Layers get what the calibration found them to need.", heads: "ada", numbers: ["safeguard"] },
  pyramid: { title: "Pyramid", sentence: "The first layers get more than the last (PyramidKV).", heads: "ada", numbers: ["beta", "safeguard"] },
  global: { title: "All compete", sentence: "One threshold for all layers and heads (KV-Compress).", heads: "ada", numbers: ["slack"] },
  dynamic: { title: "Layers compete", sentence: "Layers get room by how many of the best scores they hold (DynamicKV).", heads: "uniform", numbers: ["slack"] },
  cake: { title: "Layers ask", sentence: "Layers get room by how widely they look and how much that shifts (CAKE).", heads: "uniform", numbers: ["slack"] },
  table: { title: "A table", sentence: "Layers get the parts written here, one number a layer.", heads: "ada", numbers: ["safeguard"] },
};

export const BUDGET_NUMBERS: Readonly<Record<BudgetNumber, { readonly label: string; readonly min: number; readonly max: number; readonly step: number }>> = {
  safeguard: { label: "Safeguard", min: 0, max: 1, step: 0.05 },
  beta: { label: "Steepness", min: 1, max: 1000, step: 1 },
  slack: { label: "Cap of a layer, ×", min: 1, max: 64, step: 1 },
};

/** In the order of the menu's groups. `formats` is what the composer starts from; none: the engine's choice for this model. */
export const PRECISIONS: Readonly<
  Record<PrecisionKind, Choice & { readonly group: string; readonly several: boolean; readonly formats: readonly FormatName[] }>
> = {
  "rate-distortion": {
    title: "By worth",
    sentence: "Every token the format in which the bytes do the least damage, or none.",
    group: "More bits for what matters",
    several: true,
    formats: [],
  },
  agacc: {
    title: "Along a line",
    sentence: "Bits rise with importance from the least to the most (AGACC); below a threshold, none.",
    group: "More bits for what matters",
    several: true,
    formats: [],
  },
  tiers: {
    title: "In tiers",
    sentence: "The more important, the better the format; below the last threshold, none.",
    group: "More bits for what matters",
    several: true,
    formats: ["k4v4", "k2v2"],
  },
  "evict-only": {
    title: "Keep or drop",
    sentence: "The important tokens stay as they are, the others go.",
    group: "Drop tokens, round nothing",
    several: false,
    formats: ["k16v16"],
  },
  uniform: {
    title: "The same for all",
    sentence: "Every token stays, all in one format: nothing is scored, and there is no budget.",
    group: "Keep every token",
    several: false,
    formats: ["k4v4"],
  },
};

export const SCHEDULES: Readonly<Record<ScheduleKind, Choice>> = {
  ring: { title: "As tokens come", sentence: "What is kept is chosen anew whenever tokens leave the ring." },
  every: { title: "Every so many tokens", sentence: "Until then the new tokens keep the richest format." },
  budget: { title: "When room runs out", sentence: "Until a layer's pages could run out, the new tokens keep the richest format." },
  prefill: { title: "Once, after the prompt", sentence: "The prompt alone is judged; the new tokens keep the richest format." },
};

/** By falling bytes. */
export const FORMATS: Readonly<Record<FormatName, string>> = {
  k16v16: "16 bits",
  k8v8: "8 bits",
  k8v4: "8 and 4 bits",
  "k8v8-half": "8 bits, half of the channels",
  k4v4: "4 bits",
  k4v2: "4 and 2 bits",
  "k8v8-quarter": "8 bits, a quarter of the channels",
  "k4v4-half": "4 bits, half of the channels",
  k3v2: "3 and 2 bits, calibrated",
  "k4v4-quarter": "4 bits, a quarter of the channels",
  "k2v2-klt": "2 bits, calibrated",
  k2v2: "2 bits",
  "k1.5v2": "1.5 and 2 bits, calibrated",
  "k1.5v1": "1.5 and 1 bit, calibrated",
};

export const SCORE_NAMES = Object.keys(SCORES) as readonly ScoreName[];
export const BUDGET_KINDS = Object.keys(BUDGETS) as readonly BudgetKind[];
export const PRECISION_KINDS = Object.keys(PRECISIONS) as readonly PrecisionKind[];
export const SCHEDULE_KINDS = Object.keys(SCHEDULES) as readonly ScheduleKind[];
export const FORMAT_NAMES = Object.keys(FORMATS) as readonly FormatName[];

// precision (reference, f64): importance -> how many bits, and AGACC's own quantizer and pruning. Which bits exist as stored formats is the cache's business.

import type { Numbers } from "./expected-attention";

/** Bits of evicted and untouched slots. */
export const EVICTED = 0;
export const RAW = 16;

/** Evict-only: 16 bits for what is kept, 0 for the rest. */
export function evictOnly(slots: number, kept: readonly number[]): number[] {
  const set = new Set(kept);
  return Array.from({ length: slots }, (_, n) => (set.has(n) ? RAW : EVICTED));
}

export function uniformBits(slots: number, bits: number): number[] {
  return new Array<number>(slots).fill(bits);
}

/**
 * AGACC's linear bits (seed document 001, 2.4.1): b = least + floor((I - min I) (most - least) / (max I - min I)). All alike: least. Only the greatest gets `most`.
 */
export function agaccLinearBits(importance: Numbers, least: number, most: number): number[] {
  const all = Array.from(importance);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  return all.map((value) => (high > low ? least + Math.floor(((value - low) * (most - least)) / (high - low)) : least));
}

export interface AgaccCoded {
  /** -(2^(b-1) - 1) .. 2^(b-1) - 1. */
  readonly codes: Int16Array;
  readonly mean: number;
  readonly deviation: number;
}

/**
 * AGACC's mean/deviation quantizer: round((x - mean) / deviation * (2^(b-1) - 1) / s), clamped to what b bits hold (the document leaves the clamp out; s is
 * there "to prevent outlier compression"). `bits` from 2. A constant vector has deviation 0 and codes 0.
 * @param s deviations that the greatest code stands for; 3 cuts nothing of a Gaussian that matters
 */
export function agaccEncode(x: Numbers, bits: number, s = 3): AgaccCoded {
  const values = Array.from(x);
  const mean = values.reduce((sum, value) => sum + value / values.length, 0);
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2 / values.length, 0));
  const most = 2 ** (bits - 1) - 1;
  const code = (value: number): number => Math.max(-most, Math.min(most, Math.floor((((value - mean) / deviation) * most) / s + 0.5)));
  return { codes: Int16Array.from(values, (value) => (deviation > 0 ? code(value) : 0)), mean, deviation };
}

export function agaccDecode({ codes, mean, deviation }: AgaccCoded, bits: number, s = 3): Float64Array {
  return Float64Array.from(codes, (code) => (code * s * deviation) / (2 ** (bits - 1) - 1) + mean);
}

export interface AgaccThresholds {
  readonly high: number;
  readonly low: number;
  readonly evict: number;
}

/** AGACC's three thresholds (2.4): above high 16 bits, above low `medium`, from evict on `least`, below it nothing. */
export function agaccTiers(importance: Numbers, { high, low, evict }: AgaccThresholds, medium: number, least: number): number[] {
  return Array.from(importance, (value) => (value > high ? RAW : value > low ? medium : value < evict ? EVICTED : least));
}

/** AGACC's pruning rate (2.4.2): p_max (1 - min(1, I / low)). */
export function pruningRate(importance: number, low: number, most: number): number {
  return most * (1 - Math.min(1, importance / low));
}

/** The floor(rate * D) channels least in size set to 0; ties go by index. */
export function pruneChannels(x: Numbers, rate: number): Float64Array {
  const pruned = Float64Array.from(x);
  const order = Array.from(x.keys()).sort((a, b) => Math.abs(pruned[a]!) - Math.abs(pruned[b]!) || a - b);
  for (const i of order.slice(0, Math.floor(rate * x.length))) pruned[i] = 0;
  return pruned;
}

export interface DiffKvOptions {
  /** Thresholds in units of uniform attention; 1 and .02 for Llama-3-8B. */
  readonly high: number;
  readonly low: number;
  /** The last so many tokens stay as they are; 64. */
  readonly recent: number;
}

/** DiffKV's tiers (methods.md 4.2): attention per query against 1 / t, t tokens so far: "high" (K8V4), "low" (K4V2), "pruned", or "recent" (untouched). */
export function diffKvTiers(attention: Numbers, { high, low, recent }: DiffKvOptions): ("high" | "low" | "pruned" | "recent")[] {
  const t = attention.length;
  return Array.from(attention, (score, n) => (n >= t - recent ? "recent" : score < low / t ? "pruned" : score < high / t ? "low" : "high"));
}

/** One slot's part in the rate-distortion rule (methods.md 10.3). */
export interface RatedSlot {
  /** Expected attention, normalised to sum 1 over the head's slots. */
  readonly importance: number;
  /** |v - mean|^2, in the output projection's metric or plain. */
  readonly valueEnergy: number;
  /** What dividing by the layer's residual power (or its like) leaves: see layerWeights. */
  readonly layerWeight: number;
  /** By format, in the order of the options: variance of the logit's error, squared error of the value, bytes. */
  readonly options: readonly { readonly logitNoise: number; readonly valueError: number; readonly bytes: number }[];
}

export interface RatedRule {
  /** Damage of a saturated logit error; .3. */
  readonly kappa: number;
  /** w = importance^power; 1.2. */
  readonly power: number;
}

/** w / r (kappa (1 - exp(-n)) |v - mean|^2 + e); without an option: w / r |v - mean|^2, the cost of dropping it. */
export function ratedCost(slot: RatedSlot, option: number, { kappa, power }: RatedRule): number {
  const weight = slot.importance ** power * slot.layerWeight;
  const chosen = slot.options[option];
  if (!chosen) return weight * slot.valueEnergy;
  return weight * (kappa * -Math.expm1(-chosen.logitNoise) * slot.valueEnergy + chosen.valueError);
}

/** The option (-1: dropped) with the least cost + lambda * bytes; ties to fewer bytes. */
export function ratedChoice(slot: RatedSlot, lambda: number, rule: RatedRule): number {
  const price = (option: number): number => ratedCost(slot, option, rule) + lambda * (slot.options[option]?.bytes ?? 0);
  return slot.options.map((_, option) => option).reduce((best, option) => (price(option) < price(best) ? option : best), -1);
}

/** One lambda for all slots given: the least (by 200 halvings) whose choices fit into `bytes`. @returns the choices, and lambda */
export function ratedAllocation(slots: readonly RatedSlot[], bytes: number, rule: RatedRule): { readonly choices: number[]; readonly lambda: number } {
  const at = (lambda: number): number[] => slots.map((slot) => ratedChoice(slot, lambda, rule));
  const fits = (lambda: number): boolean => at(lambda).reduce((sum, option, n) => sum + (slots[n]!.options[option]?.bytes ?? 0), 0) <= bytes;
  if (fits(0)) return { choices: at(0), lambda: 0 };
  let [low, high] = [0, 1];
  while (!fits(high)) high *= 2;
  for (let halving = 0; halving < 200; halving++) {
    const middle = (low + high) / 2;
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return { choices: at(high), lambda: high };
}

/** Which layer's error counts how much (methods.md 10.3's last table), each scaled to a mean of 1; "equal" is meant with equal bytes a layer. */
export function layerWeights(kind: "residual" | "sensitivity" | "geometric" | "equal", residualPower: Numbers, sensitivity: Numbers): number[] {
  const scaled = (weights: number[]): number[] => weights.map((weight) => (weight * weights.length) / weights.reduce((sum, next) => sum + next, 0));
  const byResidual = scaled(Array.from(residualPower, (power) => 1 / power));
  const bySensitivity = scaled(Array.from(sensitivity));
  switch (kind) {
    case "residual":
      return byResidual;
    case "sensitivity":
      return bySensitivity;
    case "geometric":
      return scaled(byResidual.map((weight, l) => Math.sqrt(weight * bySensitivity[l]!)));
    case "equal":
      return byResidual.map(() => 1);
    default:
      return kind satisfies never;
  }
}

/** The cheap version's noise of a logit: relative error * |k - mean|^2 * E|q|^2 / D^2; and error of a value: relative error * |v - mean|^2. */
export function cheapErrors(
  slot: { readonly keyEnergy: number; readonly queryEnergy: number; readonly headSize: number; readonly valueEnergy: number },
  relative: { readonly key: number; readonly value: number },
): { readonly logitNoise: number; readonly valueError: number } {
  return { logitNoise: (relative.key * slot.keyEnergy * slot.queryEnergy) / slot.headSize ** 2, valueError: relative.value * slot.valueEnergy };
}

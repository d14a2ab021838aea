// choose-formats: which format every slot gets under a page budget, in f64: the cheapest option at a price per byte, the price by bisection, and then what the
// pages have left over, list by list.

import { type Format, relativeErrors } from "../../src/cache/formats";
import type { Calibration } from "../../src/policy/calibration";
import type { Policy } from "../../src/policy/policy";

export interface Slot {
  readonly importance: number;
  /** Variance of the logit's error per unit of the key's relative error: |k - m|^2 E|q|^2 / D^2. */
  readonly noise: number;
  /** |v - m|^2. */
  readonly valueEnergy: number;
  /** What it gets for being recent, when bits are chosen: recentMass(). */
  readonly recent?: number;
  readonly pinned?: boolean;
  /** Index of the richest format it may have; all by default. */
  readonly limit?: number;
}

export interface Rule {
  readonly mode: "tiers" | "rate-distortion";
  readonly formats: readonly Format[]; // by rising bytes
  readonly slotsPerPage: readonly number[];
  readonly pageBytes: number;
  readonly thresholds: readonly number[];
  readonly kappa: number;
  readonly power: number;
  readonly perHead: boolean;
  readonly safeguard: number;
  readonly calibration?: Calibration;
}

/** Importance that a token of this age gets for being recent. */
export function recentMass(age: number, { recency, recencySpan }: Pick<Policy, "recency" | "recencySpan">): number {
  return recency * (1 - 2 ** (-1 / recencySpan)) * 2 ** (-age / recencySpan);
}

/** What a slot costs in a format (index), or dropped (-1). */
export function costOf(slot: Slot, format: number, rule: Rule): number {
  return costsOf(slot, rule)[format + 1] ?? Number.NaN;
}

/** Known costs: they are asked for at every price that is tried. */
const known = new WeakMap<Rule, WeakMap<Slot, readonly number[]>>();

/** Dropped, then by format. */
function costsOf(slot: Slot, rule: Rule): readonly number[] {
  const bySlot = known.get(rule) ?? new WeakMap<Slot, readonly number[]>();
  known.set(rule, bySlot);
  let costs = bySlot.get(slot);
  if (!costs) {
    const { formats, kappa, power, calibration } = rule;
    const damage = (slot.importance + (slot.recent ?? 0)) ** power * slot.valueEnergy;
    const errors = formats.map((bits) => relativeErrors(bits, calibration));
    costs = [damage, ...errors.map(({ key, value }) => damage * (kappa * -Math.expm1(-key * slot.noise) + value))];
    bySlot.set(slot, costs);
  }
  return costs;
}

/** Format of a slot at a price: its index, -1 for dropped. */
export function bestFormat(slot: Slot, price: number, rule: Rule): number {
  const limit = slot.limit ?? rule.formats.length - 1;
  let best = -1;
  let least = costOf(slot, -1, rule);
  for (let f = 0; f <= limit; f++) {
    if (rule.mode === "tiers") {
      if (slot.importance >= price * (rule.thresholds[f] ?? Number.NaN)) best = f;
      continue;
    }
    const cost = costOf(slot, f, rule) + (price * rule.pageBytes) / (rule.slotsPerPage[f] ?? Number.NaN);
    if (cost < least) [best, least] = [f, cost];
  }
  if (!slot.pinned) return best;
  const floor = rule.formats.findIndex(({ basis, keyBits, valueBits }) => basis !== "none" && keyBits >= 8 && valueBits >= 8);
  return Math.max(best, Math.min(limit, floor));
}

/** Pages that one head's slots take. */
export function pagesOf(choice: readonly number[], { slotsPerPage }: Pick<Rule, "slotsPerPage">): number {
  const lengths = slotsPerPage.map(() => 0);
  for (const f of choice) if (f >= 0) lengths[f] = (lengths[f] ?? 0) + 1;
  return slotsPerPage.reduce((sum, slots, f) => sum + Math.ceil((lengths[f] ?? 0) / slots), 0);
}

/** Formats of every head's slots under the budget. */
export function chooseFormats(heads: readonly (readonly Slot[])[], pages: number, rule: Rule): number[][] {
  const choice = (head: number, price: number): number[] => (heads[head] ?? []).map((slot) => bestFormat(slot, price, rule));
  const all = heads.map((_, head) => head);
  const guard = rule.perHead ? 0 : Math.floor(Math.floor(pages * rule.safeguard) / heads.length);
  const safe = all.map((head) =>
    rule.safeguard > 0 && !rule.perHead ? lowestPrice((price) => pagesOf(choice(head, price), rule) <= guard) : Number.POSITIVE_INFINITY,
  );
  const capped = (head: number, price: number): number => Math.min(price, safe[head] ?? price);
  const quota = Math.floor(pages / heads.length);
  const sum = (price: number): number => all.reduce((total, head) => total + pagesOf(choice(head, capped(head, price)), rule), 0);
  const shared = rule.perHead ? Number.NaN : lowestPrice((price) => sum(price) <= pages);
  const priced = all.map((head) => {
    if (rule.perHead)
      return choice(
        head,
        lowestPrice((price) => pagesOf(choice(head, price), rule) <= quota),
      );
    // What the head's pages have left over is filled: its own price falls as long as that takes no page more.
    const own = pagesOf(choice(head, capped(head, shared)), rule);
    return choice(
      head,
      lowestPrice((price) => pagesOf(choice(head, price), rule) <= own, bitsOf(capped(head, shared)), 3),
    );
  });
  return rule.mode === "rate-distortion" ? priced.map((choices, head) => filled(choices, heads[head] ?? [], rule)) : priced;
}

/**
 * Moves slots up into the places that their pages have left over, the richest list first, those that win most by it. Slots whose gains share their first
 * 24 bits move together or not at all.
 */
export function filled(choices: readonly number[], slots: readonly Slot[], rule: Rule): number[] {
  const now = [...choices];
  const lengthOf = (format: number, of: readonly number[]): number => of.filter((chosen) => chosen === format).length;
  for (let f = rule.formats.length - 1; f >= 0; f--) {
    const perPage = rule.slotsPerPage[f] ?? Number.NaN;
    const gains = slots.map((slot, i) => {
      const from = now[i] ?? -1;
      return from >= f || f > (slot.limit ?? f) ? 0 : Math.max(0, costOf(slot, from, rule) - costOf(slot, f, rule));
    });
    const digits = (gain: number): number => Math.floor(bitsOf(gain) / 2 ** 7);
    let places = Math.ceil(lengthOf(f, choices) / perPage) * perPage - lengthOf(f, now);
    for (const gain of [...new Set(gains.filter((won) => bitsOf(won) > 0).map(digits))].sort((a, b) => b - a)) {
      const movers = gains.flatMap((won, i) => (bitsOf(won) > 0 && digits(won) === gain ? [i] : []));
      places -= movers.length;
      if (places < 0) break;
      for (const i of movers) now[i] = f;
    }
  }
  return now;
}

/** Where the search for a price begins: bits of 1.7e38. */
const LARGEST = 0x7f000000;

/**
 * The lowest price that fits, by halving the interval between the bits of two f32. Fitting is not quite monotone (a slot's richer format can
 * save a page), so where the search ends depends on where it looks: the twin looks at the same prices as the shader, the lowest first.
 */
function lowestPrice(fits: (price: number) => boolean, from = LARGEST, octaves = Number.POSITIVE_INFINITY): number {
  let high = from;
  let low = Math.max(0, high - octaves * 2 ** 23);
  if (fits(floatOf(low))) return floatOf(low);
  for (let halving = 0; halving < (octaves < Number.POSITIVE_INFINITY ? 16 : 31); halving++) {
    const middle = Math.floor((low + high) / 2);
    if (fits(floatOf(middle))) high = middle;
    else low = middle;
  }
  return floatOf(high);
}

const words = new DataView(new ArrayBuffer(4));

function floatOf(bits: number): number {
  words.setUint32(0, bits);
  return words.getFloat32(0);
}

function bitsOf(value: number): number {
  words.setFloat32(0, value);
  return words.getUint32(0);
}

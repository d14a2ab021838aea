// shares: each layer's part of a budget. Costs of every slot in every format, one price for the whole model, what each layer then takes;
// and a text's rows as they are under such a choice. Pure. Leaves to others: which shares are best (calibrate.ts). Source: methods.md 10.3.

import { FORMATS, type Format, slotWords } from "../cache/formats";
import { fullBytesPerToken, ringRowWords } from "../cache/page-layout";
import { DROPPED } from "../kernels/prefill-attention";
import { float16Bits } from "../load/float16";
import type { Policy } from "../policy/policy";
import { type Coder, codersOf } from "./codec";
import type { Rows } from "./replay";
import { type HeadDims, type HeadStatistics, rowsOf } from "./statistics";

export type CostRule = Pick<Policy, "kappa" | "power" | "recency" | "recencySpan" | "sinks" | "ring" | "ringBits">;

/** One layer's text and what was measured of it. */
export interface LayerText extends Rows {
  readonly tokens: number; // T
  readonly importance: Float32Array; // (G, T)
  readonly heads: readonly HeadStatistics[]; // (G)
}

/** Costs of a layer's judged slots, head after head: (slots, formats + 1); the last column is dropping. */
export interface LayerCosts {
  readonly costs: Float64Array;
  readonly slots: number; // of all heads
}

/** What slots may become, and their bytes; the last stands for dropped. */
export interface Offer {
  readonly formats: readonly Format[];
  readonly bytes: readonly number[];
}

export interface ShareBudget {
  readonly rule: CostRule;
  readonly dims: Pick<HeadDims, "kvHeads" | "headSize">;
  readonly tokens: number;
  readonly ratio: number;
}

/** Formats offered, 16 bits left out, as that is what sinks and ring are for; but where no other format is allowed. */
export function offerOf(headSize: number, allowed: (format: Format) => boolean): Offer {
  const coded = FORMATS.filter((format) => format.name !== "k16v16" && allowed(format));
  const formats = coded.length > 0 ? coded : FORMATS.filter(allowed);
  return { formats, bytes: [...formats.map((format) => slotWords(format, headSize) * 4), 0] };
}

/** Costs of a layer's slots, those of sinks and of the newer half of the ring left out: these stay exact. */
export function costsOf(layer: LayerText, { formats }: Offer, rule: CostRule, { headSize: D }: HeadDims): LayerCosts {
  const [first, end] = judged(layer.tokens, rule);
  const perHead = Math.max(0, end - first);
  const columns = formats.length + 1;
  const costs = new Float64Array(layer.heads.length * perHead * columns);
  layer.heads.forEach((head, g) => {
    const keys = energies(layer.keys, g, layer.tokens, D, head.keyMean);
    const values = energies(layer.values, g, layer.tokens, D, head.valueMean);
    const errors = formats.map((format) => {
      const index = FORMATS.indexOf(format);
      return { key: head.keyErrors[index] ?? 0, value: head.valueErrors[index] ?? 0 };
    });
    for (let t = first; t < end; t++) {
      const recent = rule.recency * (1 - 2 ** (-1 / rule.recencySpan)) * 2 ** (-(layer.tokens - t) / rule.recencySpan);
      const damage = (Math.max(layer.importance[g * layer.tokens + t] ?? 0, 1e-30) + recent) ** rule.power * (values[t] ?? 0);
      const noise = ((keys[t] ?? 0) * head.queryEnergy) / D ** 2;
      const at = (g * perHead + t - first) * columns;
      errors.forEach(({ key, value }, f) => {
        costs[at + f] = damage * (rule.kappa * -Math.expm1(-key * noise) + value);
      });
      costs[at + formats.length] = damage;
    }
  });
  return { costs, slots: layer.heads.length * perHead };
}

/** Bytes that a layer's sinks and newest tokens take whatever the choice. */
export function exactBytes(rule: CostRule, { kvHeads, headSize }: Pick<HeadDims, "kvHeads" | "headSize">): number {
  return (rule.sinks + rule.ring) * kvHeads * 8 * ringRowWords(headSize, rule.ringBits);
}

/**
 * Shares that minimise the weighted costs of all slots at a ratio of the 16-bit cache's bytes: sum 1.
 * @param weights of the layers' costs
 */
export function optimalShares(layers: readonly LayerCosts[], weights: readonly number[], offer: Offer, budget: ShareBudget): number[] {
  const { rule, dims, tokens, ratio } = budget;
  const exact = exactBytes(rule, dims);
  const total = ratio * tokens * fullBytesPerToken({ layers: layers.length, kvHeads: dims.kvHeads, headSize: dims.headSize });
  const taken = (price: number): number[] => layers.map((layer, index) => bytesAt(layer, price / (weights[index] || 1), offer));
  const bytes = taken(lowestPrice((price) => sum(taken(price)) <= total - layers.length * exact));
  return atLeast(bytes.map((value) => value + exact));
}

/** Shares of which none is below a fifth of an equal one. */
export function atLeast(parts: readonly number[]): number[] {
  const least = 0.2 / parts.length;
  let shares = normalised(parts);
  for (let turn = 0; turn < parts.length && shares.some((share) => share < least * (1 - 1e-9)); turn++) {
    const low = shares.map((share) => share <= least);
    const rest = 1 - least * low.filter(Boolean).length;
    const high = sum(shares.filter((_, layer) => !low[layer]));
    shares = shares.map((share, layer) => (low[layer] ? least : (share / high) * rest));
  }
  return shares;
}

export function normalised(values: readonly number[]): number[] {
  const all = sum(values);
  return values.map((value) => value / all);
}

/** The choice of a layer's slots under its share of a budget: by slot an index into the offer. */
export function chooseWithin(layer: LayerCosts, bytes: number, offer: Offer): Int8Array {
  const price = lowestPrice((candidate) => bytesAt(layer, candidate, offer) <= bytes);
  return Int8Array.from({ length: layer.slots }, (_, slot) => best(layer, slot, price, offer));
}

/** A layer's rows with every judged slot coded as chosen; dropped ones are marked as replay wants it. */
export function rowsUnder(layer: LayerText, choice: Int8Array, { formats }: Offer, rule: CostRule, { headSize: D }: HeadDims): Rows {
  const [first, end] = judged(layer.tokens, rule);
  const [keys, values] = [layer.keys.slice(), layer.values.slice()];
  layer.heads.forEach((head, g) => {
    const coders = formats.map((format) => codersOf(format, D, head));
    const [ownKeys, ownValues] = [rowsOf(layer.keys, g, layer.tokens, D), rowsOf(layer.values, g, layer.tokens, D)];
    for (let t = first; t < end; t++) {
      const coder = coders[choice[g * (end - first) + t - first] ?? -1];
      const at = (g * layer.tokens + t) * D;
      if (coder) {
        keys.set(recoded(ownKeys[t], head.keyMean, coder.key), at);
        values.set(recoded(ownValues[t], head.valueMean, coder.value), at);
      } else {
        keys.fill(DROPPED, at, at + D);
        values.fill(0, at, at + D);
      }
    }
  });
  return { keys, values };
}

/** The same choice for every slot of a layer. */
export function uniformChoice({ slots }: Pick<LayerCosts, "slots">, { formats }: Offer, format: Format): Int8Array {
  return new Int8Array(slots).fill(formats.indexOf(format));
}

/** Unweighted cost of a layer under a choice. */
export function costUnder({ costs, slots }: LayerCosts, choice: Int8Array, { bytes }: Offer): number {
  let total = 0;
  for (let slot = 0; slot < slots; slot++) total += costs[slot * bytes.length + (choice[slot] ?? 0)] ?? 0;
  return total;
}

function judged(tokens: number, rule: CostRule): readonly [number, number] {
  const first = Math.min(rule.sinks, tokens);
  return [first, Math.max(first, tokens - Math.floor(rule.ring / 2))];
}

function energies(halves: Uint16Array, head: number, tokens: number, D: number, mean: Float64Array): number[] {
  return rowsOf(halves, head, tokens, D).map((row) => row.reduce((total, value, i) => total + (value - (mean[i] ?? 0)) ** 2, 0));
}

function bytesAt(layer: LayerCosts, price: number, offer: Offer): number {
  let total = 0;
  for (let slot = 0; slot < layer.slots; slot++) total += offer.bytes[best(layer, slot, price, offer)] ?? 0;
  return total;
}

/** Column of the cheapest thing to do with a slot at a price per byte. */
function best({ costs }: LayerCosts, slot: number, price: number, { bytes }: Offer): number {
  const at = slot * bytes.length;
  let column = bytes.length - 1;
  let least = costs[at + column] as number;
  for (let f = 0; f < bytes.length - 1; f++) {
    const cost = (costs[at + f] as number) + price * (bytes[f] as number);
    if (cost < least) [column, least] = [f, cost];
  }
  return column;
}

/** The lowest price that fits, within a percent: prices run over many orders of magnitude, so its logarithm is halved. */
function lowestPrice(fits: (price: number) => boolean): number {
  let [low, high] = [-230, 230]; // e^-230 .. e^230
  while (high - low > 0.01) {
    const middle = (low + high) / 2;
    if (fits(Math.exp(middle))) high = middle;
    else low = middle;
  }
  return Math.exp(high);
}

function recoded(row: Float64Array | undefined, mean: Float64Array, coder: Coder): Uint16Array {
  const centred = Float64Array.from(row ?? [], (value, i) => value - (mean[i] ?? 0));
  coder(centred);
  return Uint16Array.from(centred, (value, i) => float16Bits(value + (mean[i] ?? 0)));
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

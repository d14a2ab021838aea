// reading: which chunks of a kv head's list a token reads, in f64: bounds, page scores (Quest), hybrid sparse attention (RocketKV), the choice.

import { dot, fromHalf, toHalf } from "./codec";
import type { Numbers } from "./expected-attention";

export interface Bounds {
  readonly least: Float64Array;
  readonly most: Float64Array;
}

/** Smallest and largest key of every `span` neighbours, channel by channel. Source: methods 2.14, 2.8. */
export function boundsOf(keys: readonly Numbers[], span: number): Bounds[] {
  return chunksOf(keys, span).map((chunk) => ({ least: extreme(chunk, Math.min), most: extreme(chunk, Math.max) }));
}

/** A chunk's scale for bounds in 8 bits: a 246th of its largest number, up to the next f16, none below 2^-14. */
export function boundScale({ least, most }: Bounds): number {
  const want = Math.max(...least.map(Math.abs), ...most.map(Math.abs)) / 246;
  let bits = toHalf(Math.max(want, 2 ** -14));
  while (fromHalf(bits) < want) bits++;
  return fromHalf(bits);
}

/** A bound as 8 bits hold it: (1 + m/16) 2^e - 1 scales, m below 16 and e below 8, or its negative; the nearest of those not above x, or not below it. */
export function roundBound(x: number, scale: number, upper: boolean): number {
  const sizes = Array.from({ length: 128 }, (_, code) => ((1 + (code % 16) / 16) * 2 ** Math.floor(code / 16) - 1) * scale);
  const all = [...sizes.map((size) => -size), ...sizes];
  return upper ? Math.min(...all.filter((value) => value >= x)) : Math.max(...all.filter((value) => value <= x));
}

/** Sum over channels of max(q m, q M), over sqrt(d): the most that any key of the chunk can score. Source: methods 2.14. */
export function questLogit(query: Numbers, { least, most }: Bounds): number {
  const sum = Array.from(query).reduce((total, q, c) => total + Math.max(q * (least[c] ?? Number.NaN), q * (most[c] ?? Number.NaN)), 0);
  return sum / Math.sqrt(query.length);
}

/** The r channels where the group's |q| add up to most, lower index first. Source: methods 2.8, step 2. */
export function channelsOf(group: readonly Numbers[], r: number): number[] {
  const sizes = Array.from(group[0] ?? [], (_, c) => group.reduce((sum, q) => sum + Math.abs(q[c] ?? Number.NaN), 0));
  return sizes
    .map((size, c) => ({ size, c }))
    .sort((a, b) => b.size - a.size || a.c - b.c)
    .slice(0, r)
    .map(({ c }) => c);
}

/**
 * Logits of every query of a group with every chunk by hybrid sparse attention: r channels, the largest key where the group's q add up to more
 * than 0, else the smallest, over the temperature sqrt(d sum|q^| / sum|q|). Source: methods 2.8, steps 2 to 4.
 */
export function sparseLogits(group: readonly Numbers[], bounds: readonly Bounds[], r: number): number[][] {
  const channels = channelsOf(group, r);
  const up = channels.map((c) => group.reduce((sum, q) => sum + (q[c] ?? Number.NaN), 0) > 0);
  return group.map((query) => {
    const at = (c: number): number => query[c] ?? Number.NaN;
    const seen = channels.reduce((sum, c) => sum + Math.abs(at(c)), 0);
    const all = Array.from(query).reduce((sum, q) => sum + Math.abs(q), 0);
    const temperature = Math.sqrt((query.length * seen) / all);
    return bounds.map(({ least, most }) => channels.reduce((sum, c, i) => sum + at(c) * ((up[i] ? most : least)[c] ?? Number.NaN), 0) / temperature);
  });
}

/** Each chunk's softmax over all tokens, a token of the chunk's, on average over the group. */
export function sharesOf(logits: readonly (readonly number[])[], tokens: readonly number[]): number[] {
  const shares = logits.map((row) => {
    const top = Math.max(...row);
    const weights = row.map((logit) => Math.exp(logit - top));
    const sum = weights.reduce((total, weight, i) => total + weight * (tokens[i] ?? 0), 0);
    return weights.map((weight) => weight / sum);
  });
  return (shares[0] ?? []).map((_, i) => shares.reduce((sum, row) => sum + (row[i] ?? Number.NaN) / shares.length, 0));
}

/** The k largest by index, the earlier of equals. */
export function largest(shares: readonly number[], k: number): number[] {
  return shares
    .map((share, i) => ({ share, i }))
    .sort((a, b) => b.share - a.share || a.i - b.i)
    .slice(0, k)
    .map(({ i }) => i)
    .sort((a, b) => a - b);
}

/**
 * Chunks of slots 0 to slots - 1 that a turn's filter leaves out: all whole ones but the `keep` whose best slot, or best neighbour of one within (pool - 1) / 2,
 * received most; of equals the earlier stay. Source: methods 2.8 (MT), 2.4.
 */
export function leftOutBy(received: readonly number[], { slots, span, pool, keep }: { slots: number; span: number; pool: number; keep: number }): number[] {
  const reach = (pool - 1) / 2;
  const best = Array.from({ length: Math.floor(slots / span) }, (_, chunk) =>
    Math.max(...received.slice(Math.max(0, chunk * span - reach), Math.min(slots, (chunk + 1) * span + reach))),
  );
  const stays = new Set(largest(best, keep));
  return best.flatMap((_, chunk) => (stays.has(chunk) ? [] : chunk));
}

/** Tokens of each chunk of a list. */
export function chunkSizes(length: number, span: number): number[] {
  return Array.from({ length: Math.ceil(length / span) }, (_, i) => Math.min(span, length - i * span));
}

/** Mean cosine of a group's queries with earlier ones. Source: methods 2.13. */
export function meanCosine(now: readonly Numbers[], before: readonly Numbers[]): number {
  const cosines = now.map((q, h) => dot(q, before[h] ?? []) / Math.sqrt(dot(q, q) * dot(before[h] ?? [], before[h] ?? [])));
  return cosines.reduce((a, b) => a + b, 0) / cosines.length;
}

function chunksOf<Item>(items: readonly Item[], span: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / span) }, (_, i) => items.slice(i * span, (i + 1) * span));
}

function extreme(keys: readonly Numbers[], of: (...values: number[]) => number): Float64Array {
  return Float64Array.from(keys[0] ?? [], (_, c) => of(...keys.map((key) => key[c] ?? Number.NaN)));
}

// cold: what the cold tier keeps and sees, in f64, by definition: a vector in 8 bits, and the attention that blocks of evicted slots would get.

import type { Numbers } from "./expected-attention";

/** zero + scale * code, with zero the least channel and 255 steps to the greatest, rounded to nearest. */
export function recodeCold(vector: Numbers): Float64Array {
  const channels = Array.from({ length: vector.length }, (_, c) => vector[c] ?? Number.NaN);
  const [least, most] = [Math.min(...channels), Math.max(...channels)];
  const scale = Math.fround((most - least) / 255);
  return Float64Array.from(channels, (x) => (scale > 0 ? least + scale * Math.round((x - least) / scale) : least));
}

/** Mass by block, in heads, that the token at i gives to where its id stood before, by definition: `worth` shared by all places far enough. */
export function occurrenceShares(
  ids: readonly number[],
  i: number,
  { block, local, worth }: { block: number; local: number; worth: number },
): Map<number, number> {
  const places = ids.flatMap((id, j) => (j < i && id === ids[i] && i - (j - (j % block)) >= local ? [(j - (j % block)) / block] : []));
  const shares = new Map<number, number>();
  for (const place of places) shares.set(place, (shares.get(place) ?? 0) + worth / places.length);
  return shares;
}

/**
 * One head's share by block: e^{s_j} of the block's cold slots over e^{lse} and all cold slots' e^{s_j}; at most 1. Slots that pages hold demoted are part of lse
 * already, and `counts` is the part of their e^{s_j} that counts.
 */
export function coldShares(
  query: Numbers,
  lse: number,
  slots: readonly { readonly position: number; readonly key: Numbers; readonly counts?: number }[],
  block: number,
): Map<number, number> {
  const D = query.length;
  const weights = slots.map(({ position, key, counts }) => {
    let dot = 0;
    for (let c = 0; c < D; c++) dot += (query[c] ?? Number.NaN) * (key[c] ?? Number.NaN);
    return { at: Math.floor(position / block), weight: (counts ?? 1) * Math.exp(dot / Math.sqrt(D) - lse), isCold: counts === undefined };
  });
  const total = 1 + weights.reduce((sum, { weight, isCold }) => sum + (isCold ? weight : 0), 0);
  const shares = new Map<number, number>();
  for (const { at, weight } of weights) shares.set(at, (shares.get(at) ?? 0) + weight / total);
  for (const [at, share] of shares) shares.set(at, Math.min(1, share));
  return shares;
}

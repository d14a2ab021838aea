// tier-counts: how many slots stand on the GPU, outside it, and nowhere. Leaves to others: what pages (probe) and guest rows (extra-rows) hold.

import type { CachePlan } from "../cache/cache-plan";
import type { Evicted } from "./evicted";

/** Slots (of one layer and kv head each) by where they are. hot + cold + gone is every slot there is; recalled ones are hot. */
export interface TierCounts {
  readonly hot: number;
  readonly cold: number;
  readonly gone: number;
  readonly recalled: number;
}

/**
 * @param kept positions outside the GPU, a byte each, as many as there are tokens
 * @param guestsOf positions whose guest rows are attended to
 */
export function countSlots(
  { shape: { layers, kvHeads } }: Pick<CachePlan, "shape">,
  evicted: Evicted,
  kept: Uint8Array,
  guestsOf: (at: { readonly layer: number; readonly head: number }) => readonly number[],
): TierCounts {
  const counts = { hot: 0, cold: 0, gone: 0, recalled: 0 };
  for (let layer = 0; layer < layers; layer++)
    for (let head = 0; head < kvHeads; head++) {
      const guests = new Set(guestsOf({ layer, head }));
      for (const [position, isKept] of kept.entries()) {
        const isGuest = guests.has(position);
        if (isGuest) counts.recalled++;
        if (isGuest || !evicted.has(layer, head, position)) counts.hot++;
        else if (isKept) counts.cold++;
        else counts.gone++;
      }
    }
  return counts;
}

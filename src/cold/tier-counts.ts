// tier-counts: how many slots stand on the GPU, outside it, and nowhere. Leaves to others: reading what pages hold (probe), which rows were written (guests).

import type { CacheShape } from "../cache/page-layout";
import type { Evicted } from "./evicted";
import { BLOCK } from "./plane";

/** Slots (of one layer and kv head each) by where they are. hot + cold + gone is every slot there is; recalled ones are hot. */
export interface TierCounts {
  readonly hot: number;
  readonly cold: number;
  readonly gone: number;
  readonly recalled: number;
}

/** @param rows of guests by block, (L, G, BLOCK): not 0 where one was written @param kept positions outside the GPU, a byte each, as many as there are tokens */
export function countSlots({ layers, kvHeads }: CacheShape, evicted: Evicted, rows: ReadonlyMap<number, Uint8Array>, kept: Uint8Array): TierCounts {
  const counts = { hot: 0, cold: 0, gone: 0, recalled: 0 };
  for (let layer = 0; layer < layers; layer++)
    for (let head = 0; head < kvHeads; head++)
      for (const [position, isKept] of kept.entries()) {
        const isEvicted = evicted.has(layer, head, position);
        const row = rows.get(Math.floor(position / BLOCK))?.[(layer * kvHeads + head) * BLOCK + (position % BLOCK)];
        const isGuest = isEvicted && row !== undefined && row !== 0;
        if (isGuest) counts.recalled++;
        if (isGuest || !isEvicted) counts.hot++;
        else if (isKept) counts.cold++;
        else counts.gone++;
      }
  return counts;
}

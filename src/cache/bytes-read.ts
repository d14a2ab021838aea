// bytes-read: what attention reads of a cache for one token, from what its kernels counted: codes and scales of slots, bounds, sinks, ring and
// extra rows. Positions and importance are not read, nor are the mean key and value, one of each a head.

import type { Gpu } from "../gpu/device";
import type { KvCache } from "./kv-cache";
import { guestRowWords, markerRowWords, ringRowWords } from "./page-layout";
import { boundBytes, SELECTION_HEADER } from "./read-plan";

/** Slots of one (layer, kv head, format). */
export interface HeldSlots {
  readonly layer: number;
  readonly head: number;
  readonly format: number;
  readonly length: number;
}

/** Of one kv head of a layer that selects, a token decoded, on average. */
interface MeanReads {
  readonly slots: number;
  readonly chunks: number;
}

/**
 * Bytes a decoded token's attention reads, all layers together: of layers that select on average over the tokens decoded so far (all that is held
 * where none was), of the others all they hold now.
 * @param rawRows sinks and ring rows of each layer
 */
export async function bytesReadPerToken(gpu: Gpu, cache: KvCache, held: readonly HeldSlots[], rawRows: readonly number[]): Promise<number> {
  const { shape, layout, extras, ringBits } = cache.plan;
  const { kvHeads, headSize } = shape;
  const always = rawRows.reduce((sum, rows) => sum + rows * 8 * ringRowWords(headSize, ringBits), 0) * kvHeads;
  const words = extras.markers * (markerRowWords(headSize) - UNREAD_OF_MARKERS) + extras.guests * guestRowWords(headSize, extras.guestBits);
  const extra = shape.layers * kvHeads * 4 * words;
  const reads = await meanReads(gpu, cache);
  return held.reduce((sum, { layer, head, format, length }) => {
    const bytes = 4 * ((layout.slotWords[format] ?? 1) - 1); // without position and importance
    const read = reads?.get(`${layer},${head}`);
    return sum + (read ? read.slots * bytes + read.chunks * bytesOfBounds(cache) : length * bytes);
  }, always + extra);
}

/** Words of a marker that belong to whoever makes it. */
const UNREAD_OF_MARKERS = 3;

/** Bytes of a chunk's bounds that a query reads: all of them, or one in 16 bits of each channel it looks at. */
function bytesOfBounds({ reader, plan }: KvCache): number {
  if (!reader) return 0;
  const { channels, sparse } = reader.plan;
  return sparse ? 2 * channels : boundBytes("quest", plan.shape.headSize);
}

async function meanReads(gpu: Gpu, { reader, plan }: KvCache): Promise<ReadonlyMap<string, MeanReads> | undefined> {
  if (!reader) return undefined;
  const words = new Uint32Array(await gpu.read(reader.selections));
  const { selectionWords, stride, dense } = reader.plan;
  const reads = new Map<string, MeanReads>();
  for (let layer = dense; layer < plan.shape.layers; layer++)
    for (let head = 0; head < plan.shape.kvHeads; head++) {
      const at = (layer - dense) * selectionWords + head * stride;
      const [, , , , steps = 0, slots = 0, chunks = 0] = words.subarray(at, at + SELECTION_HEADER);
      if (steps > 0) reads.set(`${layer},${head}`, { slots: slots / steps, chunks: chunks / steps });
    }
  return reads;
}

// extra-rows: rows of every (layer, kv head) that attention reads in 16 bits beside sinks and ring, each with a number added to its logit: markers of
// what was evicted, then guests, evicted tokens that the host brings back. They stand behind a layer's table and means.
// Leaves to others: what markers hold (the GPU), which guests come (the host), the attention itself.

import type { MarkerSpan } from "../engine-types";
import type { Gpu } from "../gpu/device";
import type { CacheBuffers, CachePlan } from "./cache-buffers";
import { extraRowWords } from "./page-layout";

/** Rows a kv head. Guests stand behind the markers. */
export interface ExtraRows {
  readonly markers: number;
  readonly guests: number;
}

/** An evicted token as it comes back: its key after RoPE, then its value, D/2 f16 pairs each. */
export interface Guest {
  readonly words: Uint32Array; // D
  readonly position: number;
}

/** A row whose logit gets this is as good as none. Finite, so that no sum is NaN. */
const EMPTY_BIAS = -1e30;

/** Position of an empty row. */
const NOWHERE = 0xffffffff;

/** Words of a row from its end: bias (f32), weight (f32), tokens that it stands for, position of the first of them. */
const META_WORDS = 4;

/** Empties all rows of a layer in what the host is about to write. @param tables (L, tableStride) */
export function clearExtraRows(tables: Uint32Array, plan: CachePlan, layer: number): void {
  const { extras, shape, tableStride, extraStart } = plan;
  const rows = shape.kvHeads * (extras.markers + extras.guests);
  const stride = extraRowWords(shape.headSize);
  for (let row = 0; row < rows; row++) tables.set(metaOf(undefined), layer * tableStride + extraStart + (row + 1) * stride - META_WORDS);
}

/**
 * Fills guests' rows of one kv head from `first` on, one after the other; undefined empties a row. One queue write: what was submitted before
 * does not see them, what is submitted afterwards does.
 * Throws RangeError where the rows do not exist: callers count them (plan.extras.guests).
 */
export function writeGuests(
  gpu: Gpu,
  { plan, tables }: CacheBuffers,
  at: { readonly layer: number; readonly head: number; readonly first: number },
  guests: readonly (Guest | undefined)[],
): void {
  const { extras, shape, tableStride, extraStart } = plan;
  const { layer, head, first } = at;
  if (first < 0 || first + guests.length > extras.guests || layer >= shape.layers || head >= shape.kvHeads)
    throw new RangeError(`Guests ${first} to ${first + guests.length} of layer ${layer}, head ${head}: there are ${extras.guests} a head.`);
  if (guests.length === 0) return;
  const stride = extraRowWords(shape.headSize);
  const words = new Uint32Array(guests.length * stride);
  for (const [index, guest] of guests.entries()) {
    if (guest) words.set(guest.words, index * stride);
    words.set(metaOf(guest), (index + 1) * stride - META_WORDS);
  }
  const row = head * (extras.markers + extras.guests) + extras.markers + first;
  gpu.write(tables, (layer * tableStride + extraStart + row * stride) * 4, words);
}

/** What a head's markers stand for, read from a copy of the tables; those of nothing are left out. `end`: where the last span ends. */
export function markerSpans(tables: Uint32Array, plan: CachePlan, at: { readonly layer: number; readonly head: number; readonly end: number }): MarkerSpan[] {
  const { extras, shape, tableStride, extraStart } = plan;
  const stride = extraRowWords(shape.headSize);
  const spans: MarkerSpan[] = [];
  for (let row = extras.markers - 1, end = at.end; row >= 0; row--) {
    const words = at.layer * tableStride + extraStart + (at.head * (extras.markers + extras.guests) + row + 1) * stride;
    const [count = 0, first = NOWHERE] = tables.subarray(words - 2, words);
    if (first === NOWHERE) continue;
    if (count > 0) spans.unshift({ first, end, count });
    end = first;
  }
  return spans;
}

function metaOf(guest: Guest | undefined): Uint32Array {
  const words = new Uint32Array(META_WORDS);
  new Float32Array(words.buffer)[0] = guest ? 0 : EMPTY_BIAS;
  words.set([guest ? 1 : 0, guest?.position ?? NOWHERE], 2);
  return words;
}

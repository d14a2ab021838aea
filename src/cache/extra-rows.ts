// extra-rows: rows of every (layer, kv head) that attention reads beside sinks and ring: markers of what was evicted, in 16 bits, each with a number added to
// its logit; and guests, evicted tokens that the host brings back, in 8 or 4 bits. They stand behind a layer's table and means.
// Leaves to others: what markers hold (the GPU), which guests come (the host), how they are coded (guest-rows), the attention itself.

import type { MarkerSpan } from "../engine-types";
import type { Gpu } from "../gpu/device";
import type { CacheBuffers } from "./cache-buffers";
import type { CachePlan } from "./cache-plan";
import { encodeGuest, type Guest, NOWHERE, WAITING } from "./guest-rows";
import { guestRowWords, markerRowWords } from "./page-layout";

export type { Guest };

/** A marker whose logit gets this is as good as none. Finite, so that no sum is NaN. */
const EMPTY_BIAS = -1e30;

/** Words of a marker from its end: bias (f32), weight (f32), tokens that it stands for, position of the first of them. */
const META_WORDS = 4;

/** Units of attention of a head before those of its pages: sinks and ring, markers and guests have their own. */
export function unitsBeforePages({ ringSlots, extras }: Pick<CachePlan, "ringSlots" | "extras">, unit: number): number {
  return Math.ceil(ringSlots / unit) + Math.ceil(extras.markers / unit) + Math.ceil(extras.guests / unit);
}

/** Empties all rows of a layer in what the host is about to write. @param tables (L, tableStride) */
export function clearExtraRows(tables: Uint32Array, plan: CachePlan, layer: number): void {
  const { extras, shape, tableStride } = plan;
  const stride = markerRowWords(shape.headSize);
  const empty = new Uint32Array([new Uint32Array(new Float32Array([EMPTY_BIAS]).buffer)[0] ?? 0, 0, 0, NOWHERE]);
  const markers = layer * tableStride + plan.extraStart;
  for (let row = 1; row <= shape.kvHeads * extras.markers; row++) tables.set(empty, markers + row * stride - META_WORDS);
  const guests = layer * tableStride + guestStart(plan);
  for (let row = 1; row <= shape.kvHeads * extras.guests; row++) tables[guests + row * guestRowWords(shape.headSize, extras.guestBits) - 1] = NOWHERE;
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
  const { extras, shape, tableStride } = plan;
  const { layer, head, first } = at;
  if (first < 0 || first + guests.length > extras.guests || layer >= shape.layers || head >= shape.kvHeads)
    throw new RangeError(`Guests ${first} to ${first + guests.length} of layer ${layer}, head ${head}: there are ${extras.guests} a head.`);
  if (guests.length === 0) return;
  const stride = guestRowWords(shape.headSize, extras.guestBits);
  const words = new Uint32Array(guests.length * stride);
  for (const [index, guest] of guests.entries()) encodeGuest(guest, shape.headSize, extras.guestBits, words.subarray(index * stride, (index + 1) * stride));
  gpu.write(tables, (layer * tableStride + guestStart(plan) + (head * extras.guests + first) * stride) * 4, words);
}

/** What a head's markers stand for, read from a copy of the tables; those of nothing are left out. `end`: where the last span ends. */
export function markerSpans(tables: Uint32Array, plan: CachePlan, at: { readonly layer: number; readonly head: number; readonly end: number }): MarkerSpan[] {
  const { extras, shape, tableStride, extraStart } = plan;
  const stride = markerRowWords(shape.headSize);
  const spans: MarkerSpan[] = [];
  for (let row = extras.markers - 1, end = at.end; row >= 0; row--) {
    const words = at.layer * tableStride + extraStart + (at.head * extras.markers + row + 1) * stride;
    const [count = 0, first = NOWHERE] = tables.subarray(words - 2, words);
    if (first === NOWHERE) continue;
    if (count > 0) spans.unshift({ first, end, count });
    end = first;
  }
  return spans;
}

/** Positions of a head's guests, read from a copy of the tables; those that wait, and are not attended to yet, are left out. */
export function guestPositions(tables: Uint32Array, plan: CachePlan, { layer, head }: { readonly layer: number; readonly head: number }): number[] {
  const { extras, shape, tableStride } = plan;
  const stride = guestRowWords(shape.headSize, extras.guestBits);
  const first = layer * tableStride + guestStart(plan) + head * extras.guests * stride;
  const words = Array.from({ length: extras.guests }, (_, row) => tables[first + (row + 1) * stride - 1] ?? NOWHERE);
  return words.filter((word) => word < WAITING); // an empty one has all bits set
}

/** Words from a layer's table to its guests. */
function guestStart({ extras, extraStart, shape }: CachePlan): number {
  return extraStart + shape.kvHeads * extras.markers * markerRowWords(shape.headSize);
}

// markers: what stands for a kv head's evicted tokens, in f64. A span's key and value are the means over its tokens, weighted by importance, and
// log n is added to its logit: were all keys of the span alike, its part of the softmax would be that of the n tokens.
// Rules: the first time, spans of equal counts; then a token joins the span that its position lies in, and the newest is closed where what comes in
// begins, once its count times the number of markers is no less than all that is evicted. With no row left the two neighbours with the fewest
// tokens become one, the older pair of two alike.

import type { Numbers } from "./expected-attention";

export interface Marker {
  readonly key: Numbers;
  readonly value: Numbers;
  readonly weight: number;
  readonly count: number;
  readonly first: number; // position
}

export interface Dropped {
  readonly position: number;
  readonly importance: number;
  readonly key: Numbers;
  readonly value: Numbers;
}

/** A compression: what it dropped, and where what came in begins. `existing`: slots that stood in pages were judged too. */
export interface Compression {
  readonly dropped: readonly Dropped[];
  readonly firstPosition: number;
  readonly existing: boolean;
}

/** log n where a marker stands for something. */
export function biasOf({ count }: Marker): number {
  return count === 0 ? -1e30 : Math.log(count);
}

/** log of the tokens a marker of the span [first, next) stands for that are not back as guests; the oldest one's begins at 0. */
export function biasBesideGuests(marker: Pick<Marker, "count" | "first">, oldest: boolean, next: number, guests: readonly number[]): number {
  const back = guests.filter((position) => (oldest || position >= marker.first) && position < next).length;
  return marker.count > back ? Math.log(marker.count - back) : -1e30;
}

/** @param most markers a kv head */
export function foldMarkers(before: readonly Marker[], { dropped, ...compression }: Compression, most: number): Marker[] {
  const sorted = [...dropped].sort((a, b) => a.position - b.position);
  const markers = placeMarkers(before, { dropped: sorted, ...compression }, most);
  return markers.map((marker, index) => {
    const begin = index === 0 ? 0 : marker.first;
    const end = markers[index + 1]?.first ?? Number.POSITIVE_INFINITY;
    return sorted
      .filter(({ position }) => position >= begin && position < end)
      .map(({ importance, position, ...slot }) => ({ ...slot, weight: importance, count: 1, first: position }))
      .reduce(join, marker);
  });
}

/** Two neighbours as one. */
export function join(a: Marker, b: Marker): Marker {
  const weight = a.weight + b.weight;
  const mean = (x: Numbers, y: Numbers): Float64Array =>
    Float64Array.from(x, (value, c) => (weight > 0 ? (a.weight * value + b.weight * (y[c] ?? Number.NaN)) / weight : 0));
  return { key: mean(a.key, b.key), value: mean(a.value, b.value), weight, count: a.count + b.count, first: Math.min(a.first, b.first) };
}

function placeMarkers(before: readonly Marker[], { dropped, firstPosition, existing }: Compression, most: number): Marker[] {
  const [oldest] = dropped;
  const newest = before.at(-1);
  if (!oldest) return [...before];
  const opened = (first: number): Marker => ({ key: oldest.key.map(() => 0), value: oldest.value.map(() => 0), weight: 0, count: 0, first });
  if (!newest) {
    const spans = Math.min(most, dropped.length);
    if (existing) return [opened(0)];
    return Array.from({ length: spans }, (_, m) => opened(dropped[Math.floor((m * dropped.length) / spans)]?.position ?? Number.NaN));
  }
  const evicted = before.reduce((sum, { count }) => sum + count, 0);
  const comesIn = dropped.some(({ position }) => position >= firstPosition);
  if (!comesIn || most === 1 || newest.count * most < evicted) return [...before];
  if (before.length < most) return [...before, opened(firstPosition)];
  const sums = before.slice(1).map(({ count }, m) => count + (before[m]?.count ?? 0));
  const at = sums.indexOf(Math.min(...sums));
  const [a, b] = [before[at], before[at + 1]];
  return [...before.slice(0, at), ...(a && b ? [join(a, b)] : []), ...before.slice(at + 2), opened(firstPosition)];
}

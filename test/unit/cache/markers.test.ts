// markers: the twin that the kernels are judged by, itself judged by examples worked out by hand and by what must hold whatever is dropped when.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attend } from "../../reference/cache-attention";
import { biasOf, type Dropped, foldMarkers, join, type Marker } from "../../reference/markers";

function slot(position: number, importance: number, value = position, key = 1): Dropped {
  return { position, importance, key: [key, 0], value: [value, 0] };
}

function spans(markers: readonly Marker[]): [number, number][] {
  return markers.map(({ first, count }) => [first, count]);
}

describe("by hand", () => {
  const prompt = { firstPosition: 4, existing: false, dropped: [slot(5, 1), slot(6, 1), slot(9, 3), slot(10, 1), slot(12, 1)] };
  const first = foldMarkers([], prompt, 3);

  test("five tokens in three spans: ranks 0, 1 and 3 begin one; a mean weighs by importance", () => {
    expect(spans(first)).toEqual([
      [5, 1],
      [6, 2],
      [10, 2],
    ]);
    expect([...(first[1]?.value ?? [])]).toEqual([(1 * 6 + 3 * 9) / 4, 0]); // 8.25
    expect(first[1]?.weight).toBe(4);
    expect(biasOf(first[1] as Marker)).toBeCloseTo(Math.LN2, 15); // log 2
  });

  test("the newest holds its third of five: it is closed, and the two neighbours of three tokens become one; what is older joins its span", () => {
    const next = foldMarkers(first, { firstPosition: 20, existing: true, dropped: [slot(21, 2), slot(7, 1), slot(3, 1)] }, 3);
    // counts 1, 2, 2: sums 3 and 4; 5 and 6 become one; 3 lies before all spans, 7 in the first, 21 opens the new one
    expect(spans(next)).toEqual([
      [3, 5],
      [10, 2],
      [20, 1],
    ]);
    expect(next[0]?.weight).toBe(1 + 4 + 1 + 1);
    expect(next[0]?.value[0]).toBeCloseTo((5 + 6 + 27 + 7 + 3) / 7, 14);
  });

  test("a newest span that holds less than its share stays open", () => {
    const two = foldMarkers([], prompt, 2); // ranks 0 and 2: 2 and 3 tokens
    const grown = foldMarkers(two, { firstPosition: 20, existing: true, dropped: [slot(7, 1), slot(8, 1)] }, 2); // 4 and 3
    const next = foldMarkers(grown, { firstPosition: 28, existing: true, dropped: [slot(30, 2)] }, 2); // 3 * 2 < 7
    expect(spans(next)).toEqual([
      [5, 4],
      [9, 4],
    ]);
  });
});

const drops = fc.array(fc.record({ gap: fc.integer({ min: 1, max: 5 }), importance: fc.double({ min: 1e-6, max: 10, noNaN: true }), late: fc.boolean() }), {
  minLength: 1,
  maxLength: 120,
});

test("whatever is dropped when: counts are the tokens evicted, weights their importance, spans in order, never more than there are rows", () => {
  fc.assert(
    fc.property(drops, fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 30 }), (all, most, step) => {
      let position = 4;
      const slots = all.map(({ gap, importance, late }) => {
        position += gap;
        return { late, ...slot(position, importance) };
      });
      let markers: Marker[] = [];
      let waiting: Dropped[] = [];
      for (let at = 0; at < slots.length; at += step) {
        const incoming = slots.slice(at, at + step);
        const dropped = [...waiting, ...incoming.filter(({ late }) => !late)];
        waiting = incoming.filter(({ late }) => late); // they stay in pages until the next time
        markers = foldMarkers(markers, { dropped, firstPosition: incoming[0]?.position ?? 0, existing: at > 0 }, most);
        expect(markers.length).toBeLessThanOrEqual(most);
      }
      const evicted = slots.filter((one) => !waiting.some(({ position: left }) => left === one.position));
      expect(markers.reduce((sum, { count }) => sum + count, 0)).toBe(evicted.length);
      expect(markers.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(
        evicted.reduce((sum, { importance }) => sum + importance, 0),
        8,
      );
      const firsts = markers.map(({ first }) => first);
      expect(firsts).toEqual([...new Set(firsts)].sort((a, b) => a - b));
    }),
  );
});

test("joining does not depend on what is joined first", () => {
  const marker = fc.record({
    key: fc.array(fc.double({ min: -4, max: 4, noNaN: true }), { minLength: 2, maxLength: 2 }),
    value: fc.array(fc.double({ min: -4, max: 4, noNaN: true }), { minLength: 2, maxLength: 2 }),
    weight: fc.double({ min: 1e-3, max: 10, noNaN: true }),
    count: fc.integer({ min: 1, max: 1000 }),
    first: fc.integer({ min: 0, max: 1e6 }),
  });
  fc.assert(
    fc.property(marker, marker, marker, (a, b, c) => {
      const [left, right] = [join(join(a, b), c), join(a, join(b, c))];
      expect([left.count, left.first]).toEqual([right.count, right.first]);
      expect(left.weight).toBeCloseTo(right.weight, 10);
      for (const part of ["key", "value"] as const) for (const i of [0, 1]) expect(left[part][i]).toBeCloseTo(right[part][i] ?? Number.NaN, 10);
    }),
  );
});

test("a span of equal keys and importance: its marker takes the part in the softmax that its tokens took", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 1, maxLength: 40 }),
      fc.double({ min: -3, max: 3, noNaN: true }),
      (values, q) => {
        const dropped = values.map((value, index) => slot(10 + index, 0.5, value, 0.8));
        const kept = { key: [0.1, 1], value: [1, 2] };
        const markers = foldMarkers([], { dropped, firstPosition: 4, existing: false }, 3).map((marker) => ({ ...marker, bias: biasOf(marker) }));
        const [got, want] = [attend([q, 1], [kept, ...markers]), attend([q, 1], [kept, ...dropped])];
        for (const i of [0, 1]) expect(got[i]).toBeCloseTo(want[i] ?? Number.NaN, 10);
      },
    ),
  );
});

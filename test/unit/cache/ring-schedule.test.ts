// ring-schedule: every token leaves every layer's ring once and in order, no ring overflows, and no token has more than its share of work.

import { array, assert, integer, property, record } from "fast-check";
import { expect, test } from "vitest";
import { RingSchedule } from "../../../src/cache/ring-schedule";

const cases = record({
  layers: integer({ min: 1, max: 40 }),
  sinks: integer({ min: 0, max: 8 }),
  ring: integer({ min: 2, max: 33 }),
  prompt: integer({ min: 1, max: 60 }),
});

test("every token after the sinks leaves each layer's ring once, in order, and the newer half stays", () => {
  assert(
    property(cases, ({ layers, sinks, ring, prompt }) => {
      const schedule = new RingSchedule(layers, sinks, ring);
      const inPages = Math.max(0, prompt - sinks - Math.floor(ring / 2));
      schedule.begin(inPages);
      const start = Array<number>(layers).fill(sinks + inPages);
      const coded = Array<boolean>(layers).fill(inPages > 0);
      for (let position = prompt; position < prompt + 100; position++) {
        const turn = schedule.take(position);
        for (const layer of turn?.layers ?? []) {
          const { firstPosition, held, needsMeans, count } = turn ?? {};
          const from = start[layer] ?? 0;
          expect({ firstPosition, held, needsMeans, count }).toEqual({
            firstPosition: from,
            held: position - from,
            needsMeans: !coded[layer],
            count: position - from - Math.floor(ring / 2),
          });
          start[layer] = from + (count ?? 0);
          coded[layer] = true;
        }
        if (turn) expect([turn.count >= 1, turn.count <= schedule.turns]).toEqual([true, true]);
        expect(start.map((_, layer) => schedule.oldest(layer))).toEqual(start);
        expect(position + 1 - Math.min(...start)).toBeLessThanOrEqual(ring); // this token included
      }
    }),
    { numRuns: 50 },
  );
});

test("tokens taken back: every token still leaves each ring once, in order, no ring overflows; what runs ahead no further than allowed can be", () => {
  const rounds = array(record({ sure: integer({ min: 1, max: 9 }), unsure: integer({ min: 0, max: 16 }), back: integer({ min: 0, max: 16 }) }), {
    minLength: 20,
  });
  assert(
    property(cases, rounds, ({ layers, sinks, ring, prompt }, all) => {
      const schedule = new RingSchedule(layers, sinks, ring);
      const inPages = Math.max(0, prompt - sinks - Math.floor(ring / 2));
      schedule.begin(inPages);
      const start = Array<number>(layers).fill(sinks + inPages);
      let position = prompt;
      const take = (): void => {
        const turn = schedule.take(position);
        for (const layer of turn?.layers ?? []) {
          expect(turn?.firstPosition).toBe(start[layer]);
          start[layer] = (start[layer] ?? 0) + (turn?.count ?? 0);
        }
        position++;
        expect(position - Math.min(...start)).toBeLessThanOrEqual(ring);
      };
      for (const { sure, unsure, back } of all) {
        for (let token = 0; token < sure; token++) take();
        const least = position;
        for (let token = 0; token < Math.min(unsure, schedule.mostUnsure); token++) take();
        expect(schedule.leastTokens).toBeLessThanOrEqual(least);
        position = Math.max(position - back, schedule.leastTokens);
        for (const first of start) if (first > sinks) expect(position).toBeGreaterThanOrEqual(first);
      }
    }),
    { numRuns: 100 },
  );
});

test("a schedule goes on from what another remembered; made empty, from the start", () => {
  const [one, two] = [new RingSchedule(5, 4, 9, [3, 3, 3, 3, 3]), new RingSchedule(5, 4, 9, [3, 3, 3, 3, 3])];
  const turns = (schedule: RingSchedule, from: number): unknown[] => Array.from({ length: 30 }, (_, n) => schedule.take(from + n));
  const fresh = turns(two, 4);
  one.begin(50);
  turns(one, 58);
  two.restore(one.state);
  expect(turns(two, 88)).toEqual(turns(one, 88));
  two.reset();
  expect(turns(two, 4)).toEqual(fresh);
});

test.each([
  [1, 16, 1],
  [4, 16, 1],
  [8, 16, 1],
  [12, 16, 2],
  [30, 16, 4],
  [30, 7, 8],
  [5, 2, 5],
])("%d layers and a ring of %d: at most %d layers before one token, all of them in a round", (layers, ring, most) => {
  const schedule = new RingSchedule(layers, 4, ring);
  schedule.begin(100);
  const first = 104 + ring; // past the first, uneven round
  for (let position = 104 + Math.floor(ring / 2); position < first; position++) schedule.take(position);
  const round = Array.from({ length: schedule.turns }, (_, n) => schedule.take(first + n)?.layers ?? []);
  expect(Math.max(...round.map(({ length }) => length))).toBe(most);
  expect(round.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: layers }, (_, layer) => layer));
});

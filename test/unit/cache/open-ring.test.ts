// open-ring: a coded ring to f16 pairs on the host, by hand and against the f64 reading of the same words.

import fc from "fast-check";
import { expect, test } from "vitest";
import { openRing } from "../../../src/cache/open-ring";
import { ringPlaneWords } from "../../../src/cache/page-layout";
import type { Policy } from "../../../src/policy/policy";
import { codedRow, fromHalf, half } from "../../reference/codec";
import { type CacheWords, slotsInRing } from "../../reference/page-table";
import { expectClose, tolerances } from "../../tolerances";

const SINKS = 2;
const RING = 5;
const SLOTS = SINKS + RING;

function planOf(headSize: number, ringBits: 8 | 16) {
  const shape = { layers: 2, kvHeads: 3, headSize };
  return { shape, ringSlots: SLOTS, ringBits, ringPlane: ringPlaneWords(shape, SLOTS, ringBits), openPlane: ringPlaneWords(shape, SLOTS, 16) };
}

test("16 bits stay the words that they are", () => {
  const ring = Uint32Array.from({ length: 4 * planOf(32, 16).ringPlane }, (_, n) => n);
  expect(openRing(ring, planOf(32, 16))).toBe(ring);
});

test("a worked example", () => {
  // (2, 1, 0 ...) turned is (3, 1, 3, 1 ...) / sqrt(8): codes 255 and 0.
  expect([...codedRow([2, 1, 0, 0, 0, 0, 0, 0])].slice(0, 2)).toEqual([0x00ff00ff, 0x00ff00ff]);
  const plan = planOf(8, 8);
  const ring = new Uint32Array(4 * plan.ringPlane);
  ring.set(codedRow([2, 1, 0, 0, 0, 0, 0, 0]), 3 * plan.ringPlane + 3 * (2 * SLOTS + 4)); // values of the last layer's last head, row 4
  const opened = openRing(ring, plan);
  const at = 3 * plan.openPlane + 4 * (2 * SLOTS + 4);
  const row = [...opened.subarray(at, at + 4)].flatMap((word) => [fromHalf(word & 0xffff), fromHalf(word >>> 16)]);
  expectClose(row, [2, 1, 0, 0, 0, 0, 0, 0], tolerances.halfPrecision);
  expect(opened.filter((word) => word !== 0).length).toBeGreaterThan(0);
  expect(opened.findIndex((word) => word !== 0)).toBeGreaterThanOrEqual(at);
});

test("any rows, against f64", () => {
  const channel = fc.double({ min: -60, max: 60, noNaN: true }).map(half);
  fc.assert(
    fc.property(
      fc.constantFrom(32, 96),
      fc.array(channel, { minLength: 96, maxLength: 96 }),
      fc.nat(1),
      fc.nat(2),
      fc.nat(SLOTS - 1),
      (D, values, layer, head, row) => {
        const plan = planOf(D, 8);
        const ring = new Uint32Array(4 * plan.ringPlane);
        const words = codedRow(values.slice(0, D));
        for (const plane of [2 * layer, 2 * layer + 1]) ring.set(words, plane * plan.ringPlane + (head * SLOTS + row) * words.length);
        const cache = { plan, policy: { sinks: SINKS, ring: RING } as Policy, ring } as unknown as CacheWords;
        const [slot] = slotsInRing(cache, layer, head, SLOTS, SINKS).filter(
          ({ position }) => (position < SINKS ? position : SINKS + (position % RING)) === row,
        );
        const opened = openRing(ring, plan);
        for (const [part, want] of [slot?.key, slot?.value].entries()) {
          const at = (2 * layer + part) * plan.openPlane + ((head * SLOTS + row) * D) / 2;
          const got = [...opened.subarray(at, at + D / 2)].flatMap((word) => [fromHalf(word & 0xffff), fromHalf(word >>> 16)]);
          expectClose(got, want ?? [], tolerances.half);
        }
      },
    ),
  );
});

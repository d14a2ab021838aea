// guest-rows: the words of a guest, by hand, and any vector against the f64 twin of coded slots.

import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeGuest } from "../../../src/cache/guest-rows";
import { type GuestBits, guestRowWords } from "../../../src/cache/page-layout";
import { type Coded, fromHalf, hadamard, half, recodeGuest, toHalf } from "../../reference/codec";
import { guestRows } from "../../reference/page-table";
import { expectClose, tolerances } from "../../tolerances";

function pack(values: ArrayLike<number>): Uint32Array {
  return Uint32Array.from({ length: values.length / 2 }, (_, n) => (toHalf(values[2 * n] ?? 0) | (toHalf(values[2 * n + 1] ?? 0) << 16)) >>> 0);
}

test("a worked example", () => {
  // (2, 1, 0 ...) turned is (3, 1, 3, 1 ...) / sqrt(8): 15 steps of 2 / sqrt(8) / 15 from the smallest to the largest. The value is (1, 0 ...): all the same.
  const row = new Uint32Array(guestRowWords(8, 4));
  encodeGuest({ words: pack([2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]), position: 77 }, 8, 4, row);
  expect([row[0], row[1], row[4]]).toEqual([0x0f0f0f0f, 0, 77]);
  expect(fromHalf((row[2] ?? 0) & 0xffff)).toBeCloseTo(0.04714, 4);
  expect(fromHalf((row[2] ?? 0) >>> 16)).toBeCloseTo(0.35355, 3);
  expect([fromHalf((row[3] ?? 0) & 0xffff), fromHalf((row[3] ?? 0) >>> 16)]).toEqual([0, half(Math.SQRT1_2 / 2)]);
  encodeGuest(undefined, 8, 4, row);
  expect([...row]).toEqual([0, 0, 0, 0, 0xffffffff]);
});

test.each([8, 4] as const)("any vector in %d bits, against f64", (guestBits: GuestBits) => {
  const channel = fc.double({ min: -60, max: 60, noNaN: true }).map(half);
  fc.assert(
    fc.property(fc.constantFrom(32, 96), fc.array(channel, { minLength: 192, maxLength: 192 }), fc.nat(2 ** 19 - 1), (D, values, position) => {
      const [key, value] = [values.slice(0, D), values.slice(D, 2 * D)];
      const tables = new Uint32Array(guestRowWords(D, guestBits));
      encodeGuest({ words: pack([...key, ...value]), position }, D, guestBits, tables);
      const plan = { shape: { headSize: D, kvHeads: 1 }, extras: { markers: 0, guests: 1, guestBits }, tableStride: 0, extraStart: 0 };
      const row = guestRows({ plan: plan as Parameters<typeof guestRows>[0]["plan"], tables }, 0, 0)[0];
      expect(row?.position).toBe(position);
      if (!row) return expect.fail("no guest");
      for (const [part, vector] of [key, value].entries()) {
        const { scale, zero } = row.coded[part] as Coded;
        const turned = hadamard(vector);
        const [least, most] = [Math.min(...turned), Math.max(...turned)];
        expectClose([zero, scale], [least, (most - least) / (2 ** guestBits - 1)], tolerances.halfPrecision);
        expectClose(part === 0 ? row.key : row.value, recodeGuest(vector, guestBits, { scale, zero }), tolerances.f64);
      }
    }),
  );
});

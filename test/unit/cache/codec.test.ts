// codec: the f64 reference itself: f16 against an exhaustive round trip, the rotation, and the errors the formats' costs are built on.

import { describe, expect, test } from "vitest";
import { RELATIVE_ERROR } from "../../../src/cache/formats";
import { decode, dot, encode, fromHalf, hadamard, half, recode, toHalf } from "../../reference/codec";
import { agaccDecode, agaccEncode } from "../../reference/precision";
import { gaussian, seeded } from "../../reference/scoring-case";
import { expectClose, tolerances } from "../../tolerances";

test("every finite f16 survives, and the midpoint of two goes to the even one", () => {
  for (let bits = 0; bits < 0x7c00; bits++) {
    const value = fromHalf(bits);
    expect(toHalf(value)).toBe(bits);
    expect(toHalf(-value)).toBe(bits | 0x8000);
    if (bits < 0x7bff) expect(toHalf((value + fromHalf(bits + 1)) / 2)).toBe(bits % 2 === 0 ? bits : bits + 1);
  }
  expect(toHalf(70000)).toBe(0x7c00);
  expect(half(0.1)).toBe(0.0999755859375);
});

describe.each([16, 32, 64, 80, 96, 128])("head size %d", (D) => {
  const normal = gaussian(seeded(D));
  const vectors = Array.from({ length: 200 }, () => Float64Array.from({ length: D }, normal));

  test("the rotation is orthonormal and its own inverse", () => {
    for (const x of vectors.slice(0, 20)) {
      const turned = hadamard(x);
      expectClose(hadamard(turned), x, tolerances.f64);
      expectClose([dot(turned, turned)], [dot(x, x)], tolerances.f64);
    }
  });

  test.each([8, 4, 2, 1] as const)("%d bits: relative error as the cost rule assumes, within a third", (bits) => {
    let error = 0;
    let energy = 0;
    for (const x of vectors) {
      const back = decode(encode(x, bits));
      error += x.reduce((sum, value, c) => sum + (value - (back[c] ?? 0)) ** 2, 0);
      energy += dot(x, x);
    }
    const assumed = RELATIVE_ERROR[bits];
    const smaller = D < 64 ? 2 : 1; // short vectors have smaller extremes: min and max waste less
    expect(error / energy).toBeLessThan(assumed * 1.4);
    expect(error / energy).toBeGreaterThan((assumed * 0.66) / smaller);
  });

  test.each([
    [8, 3],
    [4, 3],
    [8, 2],
    [4, 4],
  ] as const)("%d bits by mean and %d deviations: AGACC's formula, rounded to f16 scales", (bits, s) => {
    const most = 2 ** (bits - 1) - 1;
    for (const x of vectors.slice(0, 50)) {
      const coded = encode(x, bits, undefined, s);
      expect(Math.max(...coded.codes)).toBeLessThanOrEqual(2 * most); // as many codes above the mean as below
      const exact = agaccDecode(agaccEncode(x, bits, s), bits, s);
      decode(coded).forEach((value, c) => {
        const rounding = 2 ** -11 * (Math.abs(coded.zero) + coded.scale * (coded.codes[c] ?? 0)); // of zero, and of scale as often as the code says
        expect(Math.abs(value - (exact[c] ?? Number.NaN))).toBeLessThanOrEqual(rounding);
      });
      const again = encode(x, bits, coded, s).codes; // rounded with what is stored instead
      expect(again.reduce((most, code, c) => Math.max(most, Math.abs(code - (coded.codes[c] ?? Number.NaN))), 0)).toBeLessThanOrEqual(1);
    }
    expect(decode(encode(new Float64Array(D).fill(0.5), bits, undefined, s))).toEqual(new Float64Array(D).fill(0.5));
  });

  test.each([2, 1] as const)("%d bits keep the product with the vector itself", (bits) => {
    for (const x of vectors) expectClose([dot(decode(encode(x, bits)), x)], [dot(x, x)], tolerances.halfPrecision);
  });

  test("a common offset costs nothing once it is the mean", () => {
    const offset = Float64Array.from({ length: D }, (_, c) => 10 * Math.sin(c));
    const [x = new Float64Array()] = vectors;
    const shifted = x.map((value, c) => value + (offset[c] ?? 0));
    expectClose(
      recode(shifted, offset, 4),
      recode(x, new Float64Array(D), 4).map((value, c) => value + (offset[c] ?? 0)),
      tolerances.f64,
    );
  });
});

// tolerances: how far a result may be from its reference, with the reason; and the comparison that says where it is not.

import { expect } from "vitest";

export interface Tolerance {
  /** Allowed |got - want| is atol + rtol * |want|. */
  readonly atol: number;
  readonly rtol: number;
  readonly because: string;
}

export const tolerances = {
  f64: { atol: 1e-12, rtol: 1e-10, because: "two orders of the same f64 sums" },
  printed6: { atol: 1e-12, rtol: 1e-5, because: "the reference printed six digits, the first of which may be a 1" },
  score: { atol: 1e-9, rtol: 1e-4, because: "f32 sums of up to D^2 products in an exponent of a few units; what the milestone asks of scores" },
  moments: { atol: 2e-6, rtol: 2e-5, because: "f32 sums over a few hundred queries around a pivot some deviations away" },
} as const satisfies Record<string, Tolerance>;

/** Fails with the range of indices that are off, the worst of them, and what was wanted there. */
export function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: Tolerance): void {
  expect(got.length, "length").toBe(want.length);
  const off: number[] = [];
  let worst = -1;
  let excess = 0;
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs((got[i] ?? Number.NaN) - (want[i] ?? Number.NaN));
    const allowed = tolerance.atol + tolerance.rtol * Math.abs(want[i] ?? Number.NaN);
    if (error <= allowed) continue;
    off.push(i);
    const ratio = error / allowed;
    if (worst >= 0 && !(ratio > excess)) continue;
    worst = i;
    excess = ratio;
  }
  if (off.length === 0) return;
  expect.fail(
    `${off.length} of ${want.length} are off, indices ${off[0]} to ${off[off.length - 1]}; worst at ${worst}: got ${got[worst]}, want ${want[worst]}, ` +
      `${excess.toPrecision(3)} times what is allowed (${tolerance.atol} + ${tolerance.rtol} |want|: ${tolerance.because})`,
  );
}

// window-case: made-up attention of a window's queries, and the sums that window-spread would leave of it.

import { seeded } from "../reference/scoring-case";

export interface WindowCase {
  readonly attention: Float64Array; // (H, W, T)
  readonly spread: Float64Array; // (H, T, 4): sums of p, p^2, -p log p, and queries
}

/** Rows of probabilities; a few slots get nearly all of some of them. */
export function windowCase({ H, T, window }: { H: number; T: number; window: number }, seed = 1): WindowCase {
  const random = seeded(seed);
  const attention = new Float64Array(H * window * T);
  for (let row = 0; row < H * window; row++) {
    const weights = Array.from({ length: T }, () => Math.exp(6 * random()));
    const sum = weights.reduce((a, b) => a + b, 0);
    weights.forEach((weight, t) => {
      attention[row * T + t] = weight / sum;
    });
  }
  const spread = new Float64Array(H * T * 4);
  for (let h = 0; h < H; h++)
    for (let w = 0; w < window; w++)
      for (let t = 0; t < T; t++) {
        const p = attention[(h * window + w) * T + t]!;
        const at = (h * T + t) * 4;
        spread[at]! += p;
        spread[at + 1]! += p * p;
        spread[at + 2]! -= p * Math.log(p);
        spread[at + 3]! += 1;
      }
  return { attention, spread };
}

// cur (reference, f64): CurDKV (2509.15038) as kvpress scores it: a slot's share of its window's key energy times its share of the value energy.

import { type Dims, type Numbers, norm } from "../../expected-attention";

/** (G, T). |k|^2 and |v|^2 are divided by their sums over the local window (`window` slots, from slot 0 on), multiplied, divided by the sum over the head; the first `sinks` get 1. */
export function cur(keys: Numbers, values: Numbers, window: number, { T, G, D, sinks }: Omit<Dims, "H">): Float64Array {
  const scores = new Float64Array(G * T);
  for (let g = 0; g < G; g++) {
    const ofKeys = windowShares(keys, g * T, window, T, D);
    const ofValues = windowShares(values, g * T, window, T, D);
    const product = ofKeys.map((share, t) => share * ofValues[t]!);
    const sum = product.reduce((all, share) => all + share, 0);
    for (let t = 0; t < T; t++) scores[g * T + t] = t < sinks ? 1 : product[t]! / sum;
  }
  return scores;
}

function windowShares(rows: Numbers, first: number, window: number, T: number, D: number): number[] {
  const energy = Array.from({ length: T }, (_, t) => norm(rows, (first + t) * D, D) ** 2);
  return energy.map((value, t) => {
    const start = t - (t % window);
    return value / energy.slice(start, start + window).reduce((sum, next) => sum + next, 0);
  });
}

// key-diversity (reference, f64): how much a key differs from the mean of all unit keys of its head (KeyDiff's anchor).

import { type Dims, type Numbers, norm } from "./expected-attention";

type KeyDims = Pick<Dims, "T" | "G" | "D">;

/** Mean over all tokens of k / |k|, (G, D). */
export function meanUnitKey(keys: Numbers, { T, G, D }: KeyDims): Float64Array {
  const mean = new Float64Array(G * D);
  for (let g = 0; g < G; g++)
    for (let t = 0; t < T; t++) {
      const length = norm(keys, (g * T + t) * D, D);
      for (let i = 0; i < D; i++) mean[g * D + i]! += (keys[(g * T + t) * D + i] ?? Number.NaN) / length / T;
    }
  return mean;
}

/** cos(k, anchor), (G, T); `anchor` (G, D). */
export function anchorCosine(keys: Numbers, anchor: Numbers, { T, G, D }: KeyDims): Float64Array {
  return Float64Array.from({ length: G * T }, (_, row) => {
    const g = Math.floor(row / T);
    let dot = 0;
    for (let i = 0; i < D; i++) dot += (keys[row * D + i] ?? Number.NaN) * (anchor[g * D + i] ?? Number.NaN);
    return dot / (norm(keys, row * D, D) * norm(anchor, g * D, D));
  });
}

/** (1 - cos(k, anchor))^3, (G, T), sinks included. */
export function keyDiversity(keys: Numbers, anchor: Numbers, dims: KeyDims): Float64Array {
  return anchorCosine(keys, anchor, dims).map((cosine) => (1 - cosine) ** 3);
}

// critical (reference, f64): CriticalKV's second opinion (Feng et al. 2025, 2502.03805): half the budget by the base score, half by score times |W_o v|.
// |W_o v| either as published (L1, mean over the group's heads) or as L2 through the Gram matrix, which needs no projection at run time:
// on SmolLM2 (503 tokens, over expected attention) the two keep the same slots but for 0.7 % at half and 1.0 % at a quarter.

import type { Dims, Numbers } from "../expected-attention";

type KeyDims = Pick<Dims, "T" | "G" | "D">;

/** W_o^T W_o summed over the group's heads, (G, D, D). `output` (hidden, H, D): the projection's columns head by head, W_o[r][h D + i]. */
export function outputGram(output: Numbers, hidden: number, { H, G, D }: Pick<Dims, "H" | "G" | "D">): Float64Array {
  const gram = new Float64Array(G * D * D);
  for (let h = 0; h < H; h++)
    for (let i = 0; i < D; i++)
      for (let j = 0; j < D; j++) {
        let sum = 0;
        for (let r = 0; r < hidden; r++) sum += (output[(r * H + h) * D + i] ?? Number.NaN) * (output[(r * H + h) * D + j] ?? Number.NaN);
        gram[(Math.floor(h / (H / G)) * D + i) * D + j]! += sum;
      }
  return gram;
}

/** sqrt(v^T gram v), (G, T): L2 norm of what the group's heads make of v. `values` (G, T, D), `gram` (G, D, D). */
export function projectedNorm(values: Numbers, gram: Numbers, { T, G, D }: KeyDims): Float64Array {
  return Float64Array.from({ length: G * T }, (_, row) => {
    let sum = 0;
    const g = Math.floor(row / T);
    for (let i = 0; i < D; i++)
      for (let j = 0; j < D; j++) sum += (values[row * D + i] ?? Number.NaN) * (gram[(g * D + i) * D + j] ?? Number.NaN) * (values[row * D + j] ?? Number.NaN);
    return Math.sqrt(Math.max(0, sum));
  });
}

/** Mean over the group's heads of |W_o,h v|_1, (G, T): kvpress's and the authors' form. */
export function projectedL1(values: Numbers, output: Numbers, hidden: number, { T, H, G, D }: Omit<Dims, "sinks">): Float64Array {
  const norms = new Float64Array(G * T);
  for (let h = 0; h < H; h++)
    for (let t = 0; t < T; t++) {
      const g = Math.floor(h / (H / G));
      for (let r = 0; r < hidden; r++) {
        let sum = 0;
        for (let i = 0; i < D; i++) sum += (output[(r * H + h) * D + i] ?? Number.NaN) * (values[(g * T + t) * D + i] ?? Number.NaN);
        norms[g * T + t]! += Math.abs(sum) / (H / G);
      }
    }
  return norms;
}

export interface CriticalOptions {
  /** Slots kept a head, sinks included. */
  readonly keep: number;
  /** Part of them that the base score alone decides; default .5. */
  readonly first?: number;
  /** Added to the base score before it is multiplied; default 1e-4. */
  readonly epsilon?: number;
}

/**
 * Scores whose top `keep` are CriticalKV's choice, (G, T): (base + epsilon) * weight, and the head's first-stage slots lifted by the greatest of those.
 * Sinks are in the first stage (base: infinite) and score 0 here. @param weights projectedNorm or projectedL1
 */
export function critical(
  base: Numbers,
  weights: Numbers,
  { keep, first = 0.5, epsilon = 1e-4 }: CriticalOptions,
  { T, G, sinks }: Pick<Dims, "T" | "G" | "sinks">,
): Float64Array {
  const frozen = Math.max(0, Math.floor(keep * first) - sinks);
  const scores = Float64Array.from({ length: G * T }, (_, n) => (n % T < sinks ? 0 : ((base[n] ?? Number.NaN) + epsilon) * (weights[n] ?? Number.NaN)));
  const top = Math.max(...scores);
  for (let g = 0; g < G; g++) {
    const order = Array.from({ length: T - sinks }, (_, t) => g * T + sinks + t).sort((a, b) => (base[b] ?? 0) - (base[a] ?? 0) || a - b);
    for (const n of order.slice(0, frozen)) scores[n]! += 2 * top;
  }
  return scores;
}

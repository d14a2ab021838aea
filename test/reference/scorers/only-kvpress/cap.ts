// cap (reference, f64): CapPress (2604.25975): leverage of values weighted by how well their keys fit the mean future query.

import { type Dims, type Moments, type Numbers, norm } from "../../expected-attention";
import { overGroup } from "../attention-received";

/**
 * (G, T). Anchor: the rotated mean query of a head. w_i = exp(tau (cos(anchor, k_i) - max)); A = I + sum over the non-sinks of (w_i + epsilon) v_i v_i^T;
 * score w_i v_i^T A^-1 v_i, mean over the group. Sinks are left out of everything and score 0.
 */
export function cap(
  turned: Moments,
  keys: Numbers,
  values: Numbers,
  { tau = 5, epsilon = 1e-6 }: { tau?: number; epsilon?: number },
  dims: Dims,
): Float64Array {
  const { T, H, G, D, sinks } = dims;
  const byHead = new Float64Array(H * T);
  const tokens = Array.from({ length: T - sinks }, (_, n) => sinks + n);
  for (let h = 0; h < H; h++) {
    const g = Math.floor(h / (H / G));
    const value = (t: number): number[] => Array.from({ length: D }, (_, i) => values[(g * T + t) * D + i] ?? Number.NaN);
    const cosines = tokens.map((t) => {
      let dot = 0;
      for (let i = 0; i < D; i++) dot += turned.mean[h * D + i]! * (keys[(g * T + t) * D + i] ?? Number.NaN);
      return dot / (norm(turned.mean, h * D, D) * norm(keys, (g * T + t) * D, D));
    });
    const most = Math.max(...cosines);
    const weights = cosines.map((cosine) => Math.exp(tau * (cosine - most)));
    const A = Array.from({ length: D }, (_, i) => Array.from({ length: D }, (_, j) => (i === j ? 1 : 0)));
    tokens.forEach((t, n) => {
      const v = value(t);
      for (let i = 0; i < D; i++) for (let j = 0; j < D; j++) A[i]![j]! += (weights[n]! + epsilon) * v[i]! * v[j]!;
    });
    tokens.forEach((t, n) => {
      const v = value(t);
      const solved = solve(A, v);
      byHead[h * T + t] = weights[n]! * v.reduce((sum, x, i) => sum + x * solved[i]!, 0);
    });
  }
  return overGroup(byHead, "mean", dims);
}

/** x of A x = b by Gaussian elimination with partial pivoting. */
export function solve(A: readonly (readonly number[])[], b: readonly number[]): number[] {
  const rows = A.map((row, i) => [...row, b[i]!]);
  const D = rows.length;
  for (let i = 0; i < D; i++) {
    const pivot = rows.findIndex((row, n) => n >= i && Math.abs(row[i]!) === Math.max(...rows.slice(i).map((other) => Math.abs(other[i]!))));
    [rows[i], rows[pivot]] = [rows[pivot]!, rows[i]!];
    for (let n = i + 1; n < D; n++) {
      const factor = rows[n]![i]! / rows[i]![i]!;
      for (let j = i; j <= D; j++) rows[n]![j]! -= factor * rows[i]![j]!;
    }
  }
  const x = new Array<number>(D).fill(0);
  for (let i = D - 1; i >= 0; i--) x[i] = (rows[i]![D]! - x.reduce((sum, value, j) => (j > i ? sum + value * rows[i]![j]! : sum), 0)) / rows[i]![i]!;
  return x;
}

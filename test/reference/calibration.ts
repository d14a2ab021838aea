// calibration (reference, f64): the query-aware basis by its definition, with a symmetric root and eigenvectors by two-sided Jacobi; and what it must do.

import type { Numbers } from "./expected-attention";

export interface Basis {
  readonly keyBasis: Float64Array; // (D, D): E^T A
  readonly queryBasis: Float64Array; // (D, D): E^T A^-1
  readonly powers: Float64Array; // (D): variances of y's channels
}

/** methods.md 10.1: M <- M + mean(diag M) I, A = M^(1/2), E the eigenvectors of A C A by falling eigenvalue. */
export function klt(metric: Numbers, covariance: Numbers, D: number): Basis {
  const mean = Array.from({ length: D }, (_, i) => metric[i * D + i] ?? Number.NaN).reduce((a, b) => a + b) / D;
  const M = Float64Array.from({ length: D * D }, (_, n) => (metric[n] ?? Number.NaN) + (n % (D + 1) === 0 ? mean : 0));
  const root = eigen(M, D);
  const power = (exponent: number): Float64Array =>
    product(product(transposed(root.vectors, D), diagonal(Array.from(root.values, (value) => value ** exponent)), D), root.vectors, D);
  const A = power(0.5);
  const { values, vectors } = eigen(product(product(A, Float64Array.from(covariance), D), A, D), D);
  return { keyBasis: product(vectors, A, D), queryBasis: product(vectors, power(-0.5), D), powers: values };
}

/** Eigenvalues of a symmetric matrix by falling size, eigenvectors as rows: cyclic Jacobi, many more sweeps than needed. */
export function eigen(matrix: Numbers, D: number): { readonly values: Float64Array; readonly vectors: Float64Array } {
  const S = Float64Array.from(matrix);
  const V = diagonal(Array<number>(D).fill(1));
  const turn = (a: Float64Array, p: number, q: number, cos: number, sin: number): void => {
    const [x, y] = [a[p]!, a[q]!];
    a[p] = cos * x - sin * y;
    a[q] = sin * x + cos * y;
  };
  for (let sweep = 0; sweep < 20; sweep++)
    for (let p = 0; p < D; p++)
      for (let q = p + 1; q < D; q++) {
        const angle = 0.5 * Math.atan2(2 * S[p * D + q]!, S[q * D + q]! - S[p * D + p]!);
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        for (let c = 0; c < D; c++) turn(S, p * D + c, q * D + c, cos, sin); // rows, then columns
        for (let r = 0; r < D; r++) turn(S, r * D + p, r * D + q, cos, sin);
        for (let c = 0; c < D; c++) turn(V, p * D + c, q * D + c, cos, sin);
      }
  const order = Array.from({ length: D }, (_, i) => i).sort((a, b) => S[b * D + b]! - S[a * D + a]!);
  return {
    values: Float64Array.from(order, (i) => S[i * D + i]!),
    vectors: Float64Array.from({ length: D * D }, (_, n) => V[order[Math.floor(n / D)]! * D + (n % D)]!),
  };
}

/** sum over queries of w q q^T / sum of w, mean diagonal 1; w: what a query's softmax leaves for positions from `sinks` on. */
export function metric(queries: readonly { readonly row: Numbers; readonly position: number }[], keys: readonly Numbers[], sinks: number): Float64Array {
  const D = keys[0]!.length;
  const M = new Float64Array(D * D);
  for (const { row, position } of queries) {
    const weights = keys.slice(0, position + 1).map((key) => Math.exp(inner(row, key) / Math.sqrt(D)));
    const part = weights.slice(sinks).reduce((a, b) => a + b, 0) / weights.reduce((a, b) => a + b, 0);
    for (let n = 0; n < D * D; n++) M[n]! += part * row[Math.floor(n / D)]! * row[n % D]!;
  }
  const trace = Array.from({ length: D }, (_, i) => M[i * D + i]!).reduce((a, b) => a + b);
  return M.map((value) => (value * D) / trace);
}

export function inner(a: Numbers, b: Numbers): number {
  return Array.from(a).reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0);
}

/** (D, D) x (D, D) */
export function product(a: Numbers, b: Numbers, D: number): Float64Array {
  return Float64Array.from({ length: D * D }, (_, n) => {
    let sum = 0;
    for (let c = 0; c < D; c++) sum += a[Math.floor(n / D) * D + c]! * b[c * D + (n % D)]!;
    return sum;
  });
}

export function transposed(a: Numbers, D: number): Float64Array {
  return Float64Array.from({ length: D * D }, (_, n) => a[(n % D) * D + Math.floor(n / D)]!);
}

function diagonal(values: readonly number[]): Float64Array {
  return Float64Array.from({ length: values.length ** 2 }, (_, n) => (n % (values.length + 1) === 0 ? values[n / (values.length + 1)]! : 0));
}

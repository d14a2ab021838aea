// random-bases: calibrations of no model: for every head a random metric of queries and a random covariance of keys, both skewed, and the basis
// that belongs to them by its definition (methods.md 10.1), in f64.

import { FORMATS, RELATIVE_ERROR } from "../../src/cache/formats";
import type { Calibration } from "../../src/policy/calibration";
import { dot, times } from "./codec";
import type { Numbers } from "./expected-attention";
import { gaussian, seeded } from "./scoring-case";

export interface RandomHead {
  readonly keyBasis: Float64Array; // (D, D)
  readonly queryBasis: Float64Array; // (D, D)
  readonly scales: Float64Array; // (4)
  /** A key without its mean, and a query, whose statistics are the basis's. */
  key(): Float64Array;
  query(): Float64Array;
}

/**
 * @param skew natural logarithm of the largest over the smallest variance of keys and of queries, each in a basis of its own
 */
export function randomHead(D: number, seed: number, skew = 4): RandomHead {
  const normal = gaussian(seeded(seed));
  const [forQueries, forKeys] = [randomRotation(D, normal), randomRotation(D, normal)];
  const power = Float64Array.from({ length: D }, (_, i) => Math.exp((-skew * i) / D));
  // R^T power^exponent R, symmetric.
  const root = (rotation: Float64Array, exponent: number): Float64Array => {
    const scaled = rotation.map((x, n) => x * (power[Math.floor(n / D)] ?? Number.NaN) ** exponent);
    return multiply(transpose(rotation, D), scaled, D);
  };
  const [A, inverse, spread] = [root(forQueries, 0.5), root(forQueries, -0.5), root(forKeys, 0.5)];
  // A Cov A = W W^T with W = A spread: the rotation that makes the rows of W orthogonal holds its eigenvectors.
  const { powers, rotation } = orthogonalize(multiply(A, spread, D), D);
  return {
    keyBasis: multiply(rotation, A, D),
    queryBasis: multiply(rotation, inverse, D),
    scales: Float64Array.from([0, 1, 2, 3], (group) =>
      Math.sqrt(powers.subarray((group * D) / 4, ((group + 1) * D) / 4).reduce((sum, x) => sum + (4 * x) / D, 0)),
    ),
    key: () => times(spread, Float64Array.from({ length: D }, normal)),
    query: () => times(A, Float64Array.from({ length: D }, normal)),
  };
}

/** Every head its own; errors that differ from the table's, so that it shows which are used. */
export function randomCalibration(dims: { readonly L: number; readonly H: number; readonly G: number; readonly D: number }, seed = 1, skew = 4): Calibration {
  const { L, H, G, D } = dims;
  const heads = Array.from({ length: L * G }, (_, index) => randomHead(D, seed * 1000 + index, skew));
  const all = (part: (head: RandomHead) => Numbers): Float32Array => Float32Array.from(heads.flatMap((head) => Array.from(part(head))));
  const error = (bits: number, index: number): number => bits * (0.8 + 0.2 * index);
  return {
    model: "",
    layers: L,
    heads: H,
    kvHeads: G,
    headSize: D,
    keyMeans: new Float32Array(L * G * D),
    valueMeans: new Float32Array(L * G * D),
    keyBasis: all(({ keyBasis }) => keyBasis),
    queryBasis: all(({ queryBasis }) => queryBasis),
    groupScales: all(({ scales }) => scales),
    errors: FORMATS.map(({ name, basis, keyBits, valueBits }) => ({
      format: name,
      key: Float32Array.from(heads, (_, index) => error(basis === "klt" ? 0.1 * 2 ** -keyBits : RELATIVE_ERROR[keyBits], index)),
      value: Float32Array.from(heads, (_, index) => error(RELATIVE_ERROR[valueBits], index)),
    })),
    residualPower: new Float32Array(L).fill(1),
    sensitivity: new Float32Array(L).fill(1),
    shares: [],
    queryMean: new Float32Array(L * H * D),
    queryCovariance: new Float32Array(L * H * D * D),
    queryDirection: new Float32Array(L * G * D),
  };
}

/** Rows orthonormal: Gram and Schmidt on Gaussian ones. */
function randomRotation(D: number, normal: () => number): Float64Array {
  const rows: Float64Array[] = [];
  while (rows.length < D) {
    let row = Float64Array.from({ length: D }, normal);
    for (const other of [...rows, ...rows]) {
      const along = dot(row, other);
      row = row.map((x, c) => x - along * (other[c] ?? Number.NaN));
    }
    const length = Math.sqrt(dot(row, row));
    rows.push(row.map((x) => x / length));
  }
  return Float64Array.from(rows.flatMap((row) => Array.from(row)));
}

function multiply(a: Float64Array, b: Float64Array, D: number): Float64Array {
  const columns = transpose(b, D);
  return Float64Array.from({ length: D * D }, (_, n) => {
    const [i, j] = [Math.floor(n / D) * D, (n % D) * D];
    let sum = 0;
    for (let c = 0; c < D; c++) sum += (a[i + c] ?? Number.NaN) * (columns[j + c] ?? Number.NaN);
    return sum;
  });
}

function transpose(a: Float64Array, D: number): Float64Array {
  return Float64Array.from({ length: D * D }, (_, n) => a[(n % D) * D + Math.floor(n / D)] ?? Number.NaN);
}

/** The rotation of W's rows that makes them orthogonal, longest first, and their squared lengths: one-sided Jacobi. */
function orthogonalize(W: Float64Array, D: number): { readonly powers: Float64Array; readonly rotation: Float64Array } {
  const rows = Array.from({ length: D }, (_, i) => W.slice(i * D, (i + 1) * D));
  const turns = Array.from({ length: D }, (_, i) => Float64Array.from({ length: D }, (_, j) => (i === j ? 1 : 0)));
  for (let sweep = 0, turned = true; turned && sweep < 20; sweep++) {
    turned = false;
    for (let p = 0; p < D; p++)
      for (let q = p + 1; q < D; q++) {
        const [x, y] = [rows[p], rows[q]] as [Float64Array, Float64Array];
        const [xx, yy, xy] = [dot(x, x), dot(y, y), dot(x, y)];
        if (Math.abs(xy) < 1e-11 * Math.sqrt(xx * yy)) continue;
        turned = true;
        const angle = 0.5 * Math.atan2(2 * xy, yy - xx);
        turn(x, y, angle);
        turn(turns[p] as Float64Array, turns[q] as Float64Array, angle);
      }
  }
  const powers = rows.map((row) => dot(row, row));
  const order = powers.map((_, i) => i).sort((a, b) => (powers[b] ?? 0) - (powers[a] ?? 0));
  return { powers: Float64Array.from(order, (i) => powers[i] ?? 0), rotation: Float64Array.from(order.flatMap((i) => Array.from(turns[i] ?? []))) };
}

function turn(x: Float64Array, y: Float64Array, angle: number): void {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  for (let c = 0; c < x.length; c++) {
    const a = x[c] as number;
    const b = y[c] as number;
    x[c] = cos * a - sin * b;
    y[c] = sin * a + cos * b;
  }
}

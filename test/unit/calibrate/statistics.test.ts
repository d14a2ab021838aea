// statistics: bases and metric against their definitions in f64, and what the pair must do: keep products, sort and decorrelate channels.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inverse, multiply, orthogonalizeRows } from "../../../src/calibrate/linear-algebra";
import { type HeadDims, headStatistics, keyBases, type LayerRows, queryMetric, queryMoments, rowsOf } from "../../../src/calibrate/statistics";
import { float16Bits } from "../../../src/load/float16";
import { normals, seeded } from "../../kernels/fixtures";
import { eigen, inner, klt, metric, product, transposed } from "../../reference/calibration";
import { queryMoments as referenceMoments } from "../../reference/expected-attention";
import { expectClose, tolerances } from "../../tolerances";

/** X^T X / n of rows that are mixed and of unequal size: a matrix with eigenvalues over some orders of magnitude. */
function spreadMatrix(seed: number, D: number): Float64Array {
  const mix = normals(seed, D * D, 1);
  const scaled = Float64Array.from(mix, (value, n) => value * 3 ** (-(n % D) / 4));
  return product(scaled, transposed(scaled, D), D);
}

describe("linear algebra", () => {
  test("an inverse undoes, whatever the order of its pivots", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer(), (D, seed) => {
        const matrix = Float64Array.from(normals(seed, D * D, 1));
        for (let i = 0; i < D; i++) matrix[i * D + ((i + 1) % D)]! += 6; // no pivot on the diagonal
        const identity = Float64Array.from({ length: D * D }, (_, n) => (n % (D + 1) === 0 ? 1 : 0));
        expectClose(multiply(inverse(matrix, D), matrix, D), identity, tolerances.inverse);
      }),
    );
  });

  test("orthogonal rows are the eigenvectors of W W^T", () => {
    const D = 8;
    const W = Float64Array.from(normals(3, D * D));
    const identity = Float64Array.from({ length: D * D }, (_, n) => (n % (D + 1) === 0 ? 1 : 0));
    const { powers, rows } = orthogonalizeRows(W, identity, D);
    const { values, vectors } = eigen(product(W, transposed(W, D), D), D);
    expectClose(powers, values, tolerances.eigen);
    expectClose(upToSign(rows, D), upToSign(vectors, D), tolerances.eigen);
  });
});

test("keyBases are the definition's, up to signs and one factor", () => {
  const D = 16;
  const M = spreadMatrix(1, D);
  const mean = Array.from({ length: D }, (_, i) => M[i * D + i]!).reduce((a, b) => a + b) / D;
  const unit = M.map((value) => value / mean);
  const covariance = spreadMatrix(2, D);
  const want = klt(M, covariance, D);
  const got = keyBases(unit, covariance, D);
  expectClose(
    upToSign(got.keyBasis, D),
    upToSign(
      want.keyBasis.map((value) => value / Math.sqrt(mean)),
      D,
    ),
    tolerances.halfBasis,
  );
  expectClose(product(transposed(got.queryBasis, D), got.keyBasis, D), identityOf(D), tolerances.inverse); // q'.y = q.(k - m)
});

test("the metric counts queries by what they do not pay to the sinks", () => {
  const [D, T, sinks] = [8, 30, 4];
  const numbers = normals(5, 2 * T * D);
  const row = (n: number): Float64Array => Float64Array.from(numbers.subarray(n * D, (n + 1) * D));
  const keys = Array.from({ length: T }, (_, t) => row(t).map((value) => (t < sinks ? value + 1 : value)));
  const queries = Array.from({ length: T - sinks }, (_, t) => ({ row: row(T + t), position: sinks + t }));
  expectClose(queryMetric(queries, keys, { headSize: D, sinks }), metric(queries, keys, sinks), tolerances.f64);
});

describe("one head", () => {
  const dims: HeadDims = { heads: 4, kvHeads: 2, headSize: 32, sinks: 4 };
  const rows = layerOf(dims, 300);
  const head = 1;
  const found = headStatistics(rows, head, dims);
  const keys = rowsOf(rows.keys, head, rows.tokens, 32).slice(dims.sinks);

  test("products of turned queries and keys are those of the queries and the centred keys", () => {
    const next = seeded(9);
    for (let n = 0; n < 50; n++) {
      const key = keys[next() % keys.length]!;
      const query = Float64Array.from(normals(next(), 32));
      const centred = key.map((value, i) => value - found.keyMean[i]!);
      const y = times(found.keyBasis, centred);
      expectClose([inner(times(found.queryBasis, query), y)], [inner(query, centred)], tolerances.inverse);
    }
  });

  test("channels of y are sorted and uncorrelated, but for the basis' rounding to f16", () => {
    const y = keys.map((key) =>
      times(
        found.keyBasis,
        key.map((value, i) => value - found.keyMean[i]!),
      ),
    );
    const moment = (i: number, j: number): number => y.reduce((sum, row) => sum + row[i]! * row[j]!, 0) / y.length;
    const powers = Array.from({ length: 32 }, (_, i) => moment(i, i));
    for (let i = 0; i < 31; i++) expect(powers[i + 1]!).toBeLessThan(powers[i]! * 1.01);
    const strong = powers.filter((power) => power > 1e-4 * powers[0]!).length; // weaker ones are what rounding leaks from the strong
    for (let i = 0; i < strong; i++) for (let j = 0; j < i; j++) expect(Math.abs(moment(i, j)) / Math.sqrt(powers[i]! * powers[j]!)).toBeLessThan(0.02);
    const scales = [0, 1, 2, 3].map((group) => Math.sqrt(powers.slice(8 * group, 8 * group + 8).reduce((a, b) => a + b) / 8));
    expectClose(found.groupScales as Float64Array, scales, tolerances.unpacked);
  });

  test("moments are the reference's; energy and direction are the queries' own", () => {
    const shape = { T: rows.tokens, H: dims.heads, G: dims.kvHeads, D: 32, sinks: dims.sinks };
    const want = referenceMoments(rows.queries, shape);
    const got = queryMoments(rows, 3, dims);
    expectClose(got.mean, want.mean.subarray(3 * 32), tolerances.f64);
    expectClose(got.covariance, want.covariance.subarray(3 * 32 * 32), tolerances.f64);
    const squares = [2, 3].map((h) => {
      let sum = 0;
      for (let t = dims.sinks; t < rows.tokens; t++) for (let i = 0; i < 32; i++) sum += rows.queries[(t * 4 + h) * 32 + i]! ** 2;
      return sum / (rows.tokens - dims.sinks);
    });
    expectClose([found.queryEnergy], [(squares[0]! + squares[1]!) / 2], tolerances.f64);
    const second = new Float64Array(32 * 32);
    for (const h of [2, 3]) {
      for (let t = dims.sinks; t < rows.tokens; t++) {
        const query = rows.rotated.subarray((t * 4 + h) * 32, (t * 4 + h + 1) * 32);
        for (let n = 0; n < 32 * 32; n++) second[n]! += query[Math.floor(n / 32)]! * query[n % 32]!;
      }
    }
    expect(Math.abs(inner(found.queryDirection, eigen(second, 32).vectors.subarray(0, 32)))).toBeGreaterThan(0.98); // a sample of the queries
  });

  test("fewer bits, larger errors; a calibrated basis errs less than a Hadamard one of as many bits", () => {
    const error = (name: string): number => found.keyErrors[names.indexOf(name)]!;
    for (const [more, fewer] of [
      ["k8v8", "k4v4"],
      ["k4v4", "k3v2"],
      ["k3v2", "k2v2-klt"],
      ["k2v2-klt", "k1.5v2"],
    ] as const)
      expect(error(more)).toBeLessThan(error(fewer));
    expect(error("k2v2-klt")).toBeLessThan(0.7 * error("k2v2"));
    expect(error("k16v16")).toBe(0);
  });
});

const names = ["k16v16", "k8v8", "k8v4", "k4v4", "k4v2", "k3v2", "k2v2-klt", "k2v2", "k1.5v2", "k1.5v1"];

/** Keys and queries as models have them: a mean, few strong directions, many weak ones. */
function layerOf({ heads, kvHeads, headSize: D }: HeadDims, tokens: number): LayerRows {
  const shaped = (seed: number, count: number, decay: number): Float32Array => {
    const mix = normals(seed, D * D, 1);
    const plain = normals(seed + 1, count * D);
    return Float32Array.from({ length: count * D }, (_, n) => {
      let sum = (n % D) % 3 === 0 ? 1.5 : 0;
      for (let j = 0; j < D; j++) sum += mix[(n % D) * D + j]! * plain[Math.floor(n / D) * D + j]! * decay ** j;
      return sum / 3;
    });
  };
  const rotated = shaped(1, tokens * heads, 0.8);
  const halves = (seed: number): Uint16Array => Uint16Array.from(shaped(seed, kvHeads * tokens, 0.93), (value) => float16Bits(value));
  return { tokens, queries: shaped(3, tokens * heads, 0.9), rotated, keys: halves(5), values: halves(7) };
}

function times(matrix: Float64Array, vector: Float64Array): Float64Array {
  return vector.map((_, i) => inner(matrix.subarray(i * vector.length, (i + 1) * vector.length), vector));
}

/** Rows turned so that the largest element of each is positive. */
function upToSign(matrix: Float64Array, D: number): Float64Array {
  return Float64Array.from({ length: D * D }, (_, n) => {
    const row = matrix.subarray(Math.floor(n / D) * D, (Math.floor(n / D) + 1) * D);
    const largest = row.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
    return matrix[n]! * Math.sign(largest);
  });
}

function identityOf(D: number): Float64Array {
  return Float64Array.from({ length: D * D }, (_, n) => (n % (D + 1) === 0 ? 1 : 0));
}

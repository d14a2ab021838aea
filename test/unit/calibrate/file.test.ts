// file: what a calibration is after encoding and decoding, and what is refused: other files, other versions, other models, files cut short.

import { expect, test } from "vitest";
import { decodeCalibration, encodeCalibration } from "../../../src/calibrate/file";
import { isEngineError } from "../../../src/errors";
import type { Calibration } from "../../../src/policy/calibration";
import { normals } from "../../kernels/fixtures";
import { product, transposed } from "../../reference/calibration";
import { expectClose, tolerances } from "../../tolerances";

const MODEL = "ab".repeat(32);
const [L, H, G, D] = [2, 3, 1, 8];

const calibration: Calibration = {
  model: MODEL,
  layers: L,
  heads: H,
  kvHeads: G,
  headSize: D,
  keyMeans: normals(1, L * G * D),
  valueMeans: normals(2, L * G * D),
  keyBasis: invertible(),
  queryBasis: new Float32Array(L * G * D * D),
  groupScales: normals(4, L * G * 4).map(Math.abs),
  errors: [
    { format: "k4v4", key: normals(5, L * G), value: normals(6, L * G) },
    { format: "k2v2", key: normals(7, L * G), value: normals(8, L * G) },
  ],
  residualPower: normals(9, L).map((value) => 1e5 * Math.abs(value)),
  sensitivity: normals(10, L).map(Math.abs),
  shares: [
    { ratio: 0.125, shares: [0.25, 0.75] },
    { ratio: 0.25, shares: [0.4, 0.6] },
  ],
  queryMean: normals(11, L * H * D),
  queryCovariance: covariances(),
  queryDirection: normals(12, L * G * D),
  keyFloor: "k8v4",
};

test("everything comes back, as exactly as it is stored", () => {
  const bytes = encodeCalibration(calibration);
  const found = decodeCalibration(bytes, MODEL);
  const { keyMeans, valueMeans, keyBasis, queryBasis, queryMean, queryCovariance, queryDirection, ...exact } = found;
  const { keyMeans: _1, valueMeans: _2, keyBasis: _3, queryBasis: _4, queryMean: _5, queryCovariance: _6, queryDirection: _7, ...want } = calibration;
  expect(exact).toEqual(want);
  for (const name of ["keyMeans", "valueMeans", "keyBasis", "queryMean", "queryDirection"] as const)
    expectClose(found[name], calibration[name], tolerances.half);
  for (let n = 0; n < L * G; n++) {
    const part = (basis: Float32Array): Float32Array => basis.subarray(n * D * D, (n + 1) * D * D);
    const identity = Float64Array.from({ length: D * D }, (_, at) => (at % (D + 1) === 0 ? 1 : 0));
    expectClose(product(transposed(part(found.queryBasis), D), part(found.keyBasis), D), identity, tolerances.halfPrecision);
  }
  const deviations = Array.from({ length: L * H * D }, (_, n) => Math.sqrt(calibration.queryCovariance[n * D + (n % D)]!));
  calibration.queryCovariance.forEach((value, at) => {
    const row = Math.floor(at / D);
    const column = row - (row % D) + (at % D);
    expect(Math.abs(found.queryCovariance[at]! - value)).toBeLessThan((0.5 / 127 + 2e-3) * deviations[row]! * deviations[column]!); // half a step of correlation
  });
});

test("a calibration without a key floor has none", () => {
  const { keyFloor: _, ...rest } = calibration;
  expect(decodeCalibration(encodeCalibration(rest), MODEL).keyFloor).toBeUndefined();
});

test("what is not a calibration is refused", () => {
  expect(codeOf(() => decodeCalibration(new TextEncoder().encode("GGUF and much more of it"), MODEL))).toBe("NOT_CALIBRATION");
  expect(codeOf(() => decodeCalibration(new Uint8Array(), MODEL))).toBe("NOT_CALIBRATION");
  const other = encodeCalibration(calibration);
  other[8] = 200; // the version
  expect(codeOf(() => decodeCalibration(other, MODEL))).toBe("NOT_CALIBRATION");
  const damaged = encodeCalibration(calibration);
  damaged[16] = 0x78; // the header's brace
  expect(codeOf(() => decodeCalibration(damaged, MODEL))).toBe("NOT_CALIBRATION");
});

test("a file cut short anywhere is refused", () => {
  const bytes = encodeCalibration(calibration);
  for (const length of [8, 12, 15, 40, bytes.length - 4, bytes.length - 1])
    expect(codeOf(() => decodeCalibration(bytes.slice(0, length), MODEL))).toBe("TRUNCATED");
});

test("another model's calibration is refused, with both hashes", () => {
  const wanted = "cd".repeat(32);
  try {
    decodeCalibration(encodeCalibration(calibration), wanted);
    expect.unreachable();
  } catch (error) {
    if (!isEngineError(error)) throw error;
    expect(error.code).toBe("HASH_MISMATCH");
    expect(error.details).toMatchObject({ found: MODEL, expected: wanted });
  }
});

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isEngineError(error)) return error.code;
    throw error;
  }
  return "nothing was thrown";
}

function invertible(): Float32Array {
  return normals(3, L * G * D * D, 1).map((value, n) => value + ((n % (D * D)) % (D + 1) === 0 ? 8 : 0));
}

function covariances(): Float32Array {
  return Float32Array.from(
    Array.from({ length: L * H }, (_, n) => {
      const mix = normals(20 + n, D * D);
      return [...product(mix, transposed(mix, D), D)];
    }).flat(),
  );
}

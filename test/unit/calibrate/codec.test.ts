// codec: the calibration's coders against the reference codec, vector by vector.

import { describe, test } from "vitest";
import { calibratedCoder, hadamardCoder } from "../../../src/calibrate/codec";
import { keyBases } from "../../../src/calibrate/statistics";
import { normals } from "../../kernels/fixtures";
import { product, transposed } from "../../reference/calibration";
import { decodeKlt, encodeKlt, fold, recode, times } from "../../reference/codec";
import { expectClose, tolerances } from "../../tolerances";

describe.each([32, 64, 96])("head size %d", (D) => {
  const vectors = Array.from({ length: 40 }, (_, n) => Float64Array.from(normals(n + D, D)));

  test.each([8, 4, 2, 1] as const)("%d bits in a Hadamard basis", (bits) => {
    const coder = hadamardCoder(bits, D);
    for (const vector of [...vectors, new Float64Array(D)]) {
      const coded = Float64Array.from(vector);
      coder(coded);
      expectClose(coded, recode(vector, new Float64Array(D), bits), tolerances.codec);
    }
  });

  test.each([[4, 4, 2, 2] as const, [4, 2, 2, 0] as const, [4, 2, 0, 0] as const])("%d %d %d %d bits in a calibrated basis", (...groups) => {
    const mix = Float64Array.from(normals(7, D * D, 1), (value, n) => value * 0.9 ** (n % D));
    const covariance = product(mix, transposed(mix, D), D);
    const { keyBasis, queryBasis } = keyBases(product(transposed(mix, D), mix, D), covariance, D);
    const groupScales = [0, 1, 2, 3].map((group) =>
      Math.sqrt(mean(vectors.map((vector) => mean([...times(keyBasis, vector).subarray((group * D) / 4, ((group + 1) * D) / 4)].map((y) => y * y))))),
    );
    const folded = fold(keyBasis, queryBasis, groupScales);
    const coder = calibratedCoder({ keyBasis, groupScales }, groups, D);
    for (const vector of vectors) {
      const coded = Float64Array.from(vector);
      coder(coded);
      const want = times(folded.queries, decodeKlt(encodeKlt(times(folded.keys, vector), groups, folded.energies), groups), true);
      expectClose(coded, want, tolerances.codec);
    }
  });
});

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

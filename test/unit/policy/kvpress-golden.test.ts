// kvpress-golden: the f64 references reproduce numbers and keep-sets that kvpress itself computed.

import { describe, expect, test } from "vitest";
import { futureRotation } from "../../../src/cache/future-rotation";
import {
  type Dims,
  expectedAttention,
  expectedLogits,
  keepSet,
  type Moments,
  type Numbers,
  norm,
  queryMoments,
  rotateMoments,
  rotationMatrix,
  weighByValueNorm,
} from "../../reference/expected-attention";
import { anchorCosine, meanUnitKey } from "../../reference/key-diversity";
import { goldenDims, goldenFuture, goldenInputs, goldenKeep, goldenOutputs, goldenRope } from "../../reference/kvpress-golden";
import { averagePool, windowAttention, windowAttentionByHead } from "../../reference/snapkv";
import { expectClose, tolerances } from "../../tolerances";

const { T, H, G, D } = goldenDims;
const { queries, keys, values } = goldenInputs();
const rotation = futureRotation(goldenRope, D, T, goldenFuture);
const turned: Moments = rotateMoments(queryMoments(queries, goldenDims), rotation, "half", goldenDims);
const expected = expectedAttention(expectedLogits(turned, keys, goldenDims), goldenDims);
const noSinks: Dims = { ...goldenDims, sinks: 0 };

function close(got: Iterable<number>, want: readonly number[]): void {
  expectClose(Float64Array.from(got), want, tolerances.printed6);
}

describe("Expected Attention", () => {
  test("averaged rotation", () => {
    close(
      [0, 1, 2, 3].map((pair) => rotation[2 * pair]!),
      goldenOutputs.cos,
    );
    close(
      [0, 1, 2, 3].map((pair) => rotation[2 * pair + 1]!),
      goldenOutputs.sin,
    );
  });

  test("rotated moments of head 0", () => {
    close(turned.mean.subarray(0, D), goldenOutputs.mean0);
    close(
      [0, 1, 2, 3, 4, 5, 6, 7].map((i) => turned.covariance[i * D + i]!),
      goldenOutputs.diagonal0,
    );
    close([turned.covariance[1]!, turned.covariance[4]!], [goldenOutputs.covariance01, goldenOutputs.covariance04]);
  });

  test("scores and keep-sets", () => {
    const scores = weighByValueNorm(expected, values, 0, goldenDims);
    for (let g = 0; g < G; g++) {
      close(scores.subarray(g * T + 4, g * T + 10), goldenOutputs.scores[g]!);
      expect(keepSet(scores, g, goldenKeep, goldenDims)).toEqual(goldenOutputs.keep[g]);
    }
    close([Math.max(...scores) + 1], [goldenOutputs.sink]);
  });

  test("epsilon .02", () => {
    const scores = weighByValueNorm(expected, values, 0.02, goldenDims);
    close(scores.subarray(4, 8), goldenOutputs.scoresEpsilon);
    for (let g = 0; g < G; g++) expect(keepSet(scores, g, goldenKeep, goldenDims)).toEqual(goldenOutputs.keep[g]);
  });

  test("without the value norm, without the covariance", () => {
    for (let g = 0; g < G; g++) expect(keepSet(expected, g, goldenKeep, goldenDims)).toEqual(goldenOutputs.keepNoValueNorm[g]);
    const plain = expectedAttention(expectedLogits(turned, keys, goldenDims, false), goldenDims);
    expect(keepSet(weighByValueNorm(plain, values, 0, goldenDims), 1, goldenKeep, goldenDims)).toEqual(goldenOutputs.keepNoCovariance1);
  });
});

describe("the scores beside it", () => {
  test("SnapKV, window 4, average pool 3", () => {
    const mean = windowAttention(rotatedQueries(4), 4, keys, goldenDims);
    const scores = Float64Array.from({ length: G * T }, () => Number.POSITIVE_INFINITY);
    for (let g = 0; g < G; g++) scores.set(averagePool([...mean.subarray(g * T, g * T + T - 4)], 3), g * T);
    close(scores.subarray(0, 4), goldenOutputs.snapkv);
    for (let g = 0; g < G; g++) expect(keepSet(scores, g, goldenKeep, noSinks)).toEqual(goldenOutputs.keepSnapkv[g]);
  });

  test("TOVA", () => {
    const byHead = windowAttentionByHead(rotatedQueries(1), 1, keys, goldenDims);
    const scores = Array.from({ length: T }, (_, t) =>
      t === T - 1 ? Number.POSITIVE_INFINITY : [0, 1, 2, 3].reduce((sum, h) => sum + byHead[h * T + t]! / H, 0),
    );
    close(scores.slice(0, 4), goldenOutputs.tova);
    expect(keepSet(scores, 0, goldenKeep, noSinks)).toEqual(goldenOutputs.keepTova);
  });

  test("Knorm and KeyDiff", () => {
    close(
      [0, 1, 2, 3].map((t) => -norm(keys, t * D, D)),
      goldenOutputs.knorm,
    );
    const scores = anchorCosine(keys, meanUnitKey(keys, goldenDims), goldenDims).map((cosine) => -cosine);
    close(scores.subarray(0, 4), goldenOutputs.keydiff);
    for (let g = 0; g < G; g++) expect(keepSet(scores, g, goldenKeep, noSinks)).toEqual(goldenOutputs.keepKeydiff[g]);
  });
});

/** The last `window` queries, each turned at its own position: (window, H, D). */
function rotatedQueries(window: number): Numbers {
  return Array.from({ length: window }, (_, w) => {
    const t = T - window + w;
    const R = rotationMatrix(futureRotation(goldenRope, D, t, 1), "half", D);
    return Array.from({ length: H * D }, (_, n) => {
      const [h, i] = [Math.floor(n / D), n % D];
      let sum = 0;
      for (let j = 0; j < D; j++) sum += R[i * D + j]! * queries[(t * H + h) * D + j]!;
      return sum;
    });
  }).flat();
}

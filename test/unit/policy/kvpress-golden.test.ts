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
import { critical, projectedL1 } from "../../reference/scorers/critical";
import { expectedAttentionScore, storedExpectedAttention } from "../../reference/scorers/expected-attention-score";
import { lagkv } from "../../reference/scorers/lagkv";
import { keydiff, keydiffImportance, knorm, knormImportance } from "../../reference/scorers/norms";
import { cap } from "../../reference/scorers/only-kvpress/cap";
import { channelScores, dropChannels } from "../../reference/scorers/only-kvpress/channels";
import { keepChunks, keepPerChunk } from "../../reference/scorers/only-kvpress/chunks";
import { cur } from "../../reference/scorers/only-kvpress/cur";
import { mergeValues } from "../../reference/scorers/only-kvpress/merging";
import { nonCausal } from "../../reference/scorers/only-kvpress/non-causal";
import { rerotateKeys } from "../../reference/scorers/only-kvpress/rerotation";
import { streamingLlm } from "../../reference/scorers/positions";
import { snapkv, tova } from "../../reference/scorers/window";
import { rotateRows } from "../../reference/scoring-case";
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

describe("the methods of the literature", () => {
  const firstScores = (scores: Numbers): number[] => Array.from({ length: 4 }, (_, t) => scores[t]!);
  const knormScores = knorm(keys, goldenDims);
  const knormKept = [0, 1].map((g) => keepSet(knormScores, g, goldenKeep, noSinks));

  test("SnapKV and TOVA of the library", () => {
    const snap = snapkv({ queries: rotatedQueries(4), window: 4, keys, pool: "mean", kernel: 3, keepWindow: true }, noSinks);
    close(firstScores(snap), goldenOutputs.snapkv);
    for (let g = 0; g < G; g++) expect(keepSet(snap, g, goldenKeep, noSinks)).toEqual(goldenOutputs.keepSnapkv[g]);
    const last = tova(rotatedQueries(1), keys, noSinks);
    close(firstScores(last), goldenOutputs.tova);
    for (let g = 0; g < G; g++) last[g * T + T - 1] = Number.POSITIVE_INFINITY; // kvpress protects the last token
    for (let g = 0; g < G; g++) expect(keepSet(last, g, goldenKeep, noSinks)).toEqual(goldenOutputs.keepTova);
  });

  test("Knorm and KeyDiff of the library, and their importance forms rank alike", () => {
    close(firstScores(knormScores), goldenOutputs.knorm);
    close(firstScores(keydiff(keys, goldenDims)), goldenOutputs.keydiff);
    for (let g = 0; g < G; g++) {
      expect(knormKept[g]).toEqual(goldenOutputs.keepKnorm[g]);
      expect(keepSet(knormImportance(keys, goldenDims), g, goldenKeep, noSinks)).toEqual(goldenOutputs.keepKnorm[g]);
      expect(keepSet(keydiff(keys, goldenDims), g, goldenKeep, noSinks)).toEqual(goldenOutputs.keepKeydiff[g]);
      expect(keepSet(keydiffImportance(keys, goldenDims), g, goldenKeep, noSinks)).toEqual(goldenOutputs.keepKeydiff[g]);
    }
  });

  test("Expected Attention in one call, from queries and from stored moments", () => {
    const options = { keys, values, rotation, pairing: "half" } as const;
    const scores = expectedAttentionScore(queries, options, goldenDims);
    for (let g = 0; g < G; g++) close(scores.subarray(g * T + 4, g * T + 10), goldenOutputs.scores[g]!);
    const stored = storedExpectedAttention(queryMoments(queries, goldenDims), { ...options, epsilon: 0.02 }, goldenDims);
    close(stored.subarray(4, 8), goldenOutputs.scoresEpsilon);
  });

  test("CriticalKV over Expected Attention without the value norm", () => {
    const weights = projectedL1(values, identity(H * D), H * D, goldenDims);
    close(firstScores(weights), goldenOutputs.projectedL1);
    const scores = critical(expected, weights, { keep: goldenKeep }, goldenDims);
    for (let g = 0; g < G; g++) expect(keepSet(scores, g, goldenKeep, goldenDims)).toEqual(goldenOutputs.keepCritical[g]);
  });

  test("LagKV, CUR, Cap, non-causal attention, StreamingLLM", () => {
    const lag = lagkv(keys, values, { lag: 4 }, { ...goldenDims, sinks: 2 });
    const curScores = cur(keys, values, 8, goldenDims);
    const capScores = cap(turned, keys, values, {}, goldenDims);
    const allRotated = rotateRows(queries, goldenRope, goldenDims);
    const within = nonCausal(allRotated, keys, values, { chunk: 8 }, goldenDims);
    const recent = streamingLlm(goldenDims);
    for (let g = 0; g < G; g++) {
      expect(keepSet(lag, g, goldenKeep, { T, sinks: 2 }), "LagKV").toEqual(goldenOutputs.keepLagkv[g]);
      expect(keepSet(curScores, g, goldenKeep, noSinks), "CUR").toEqual(goldenOutputs.keepCur[g]);
      expect(keepSet(capScores, g, goldenKeep, goldenDims), "Cap").toEqual(goldenOutputs.keepCap[g]);
      expect(keepSet(within, g, goldenKeep, noSinks), "non-causal").toEqual(goldenOutputs.keepNonCausal[g]);
      expect(keepSet(recent, g, goldenKeep, goldenDims), "StreamingLLM").toEqual(goldenOutputs.keepStreaming);
    }
  });

  test("ThinK's channels", () => {
    expect(dropChannels(channelScores(rotatedQueries(4), keys, goldenDims), 0.5, goldenDims)).toEqual(goldenOutputs.droppedChannels);
  });

  test("re-rotation", () => {
    const { head, from, to, before, after } = goldenOutputs.rerotated;
    close(keys.subarray((head * T + from) * D, (head * T + from) * D + 4), before);
    const kept = [0, 1, 2, from]; // the fourth kept
    close(rerotateKeys(keys, head, kept, goldenRope, goldenDims).subarray(to * D, to * D + 4), after);
  });

  test("merging", () => {
    const { head, token, before, after } = goldenOutputs.merged;
    const start = (head * T + token) * D;
    close(values.subarray(start, start + 4), before);
    close(mergeValues(keys, values, knormKept, goldenDims).subarray(start, start + 4), after);
  });

  test("chunks", () => {
    expect(keepChunks(knormScores, 5, 0.5, goldenDims)).toHaveLength(goldenOutputs.chunks.chunkKv);
    const part = (start: number, length: number): Float64Array =>
      Float64Array.from({ length: G * length }, (_, n) => knormScores[Math.floor(n / length) * T + start + (n % length)]!);
    for (const kept of keepPerChunk(part, 7, 0.5, goldenDims)) expect(kept).toHaveLength(goldenOutputs.chunks.chunk);
  });
});

function identity(size: number): number[] {
  return Array.from({ length: size * size }, (_, n) => (n % (size + 1) === 0 ? 1 : 0));
}

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

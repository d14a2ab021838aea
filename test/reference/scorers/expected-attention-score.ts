// expected-attention-score (reference, f64): the whole score of kvpress.md 1.2 from queries, or from moments stored once of a model (1.5).

import type { RopePairing } from "../../../src/model/model-config";
import { type Dims, expectedAttention, expectedLogits, type Moments, type Numbers, queryMoments, rotateMoments, weighByValueNorm } from "../expected-attention";

export interface ExpectedOptions {
  readonly keys: Numbers; // (G, T, D), after RoPE
  readonly values: Numbers; // (G, T, D)
  /** Mean rotation over the positions to come, (D/2, 2): futureRotation. */
  readonly rotation: Numbers;
  readonly pairing: RopePairing;
  readonly epsilon?: number; // default 0
  readonly useCovariance?: boolean; // default true
  readonly useValueNorm?: boolean; // default true
}

/** Score of every slot from the prompt's own queries (T, H, D) before RoPE, sinks left out; (G, T). */
export function expectedAttentionScore(queries: Numbers, options: ExpectedOptions, dims: Dims): Float64Array {
  return storedExpectedAttention(queryMoments(queries, dims), options, dims);
}

/** The same from stored means (H, D) and covariances (H, D, D) of queries before RoPE: no pass over this prompt's queries. */
export function storedExpectedAttention(moments: Moments, options: ExpectedOptions, dims: Dims): Float64Array {
  const { keys, values, rotation, pairing, epsilon = 0, useCovariance = true, useValueNorm = true } = options;
  const expected = expectedAttention(expectedLogits(rotateMoments(moments, rotation, pairing, dims), keys, dims, useCovariance), dims);
  return useValueNorm ? weighByValueNorm(expected, values, epsilon, dims) : expected.map((e, n) => (n % dims.T < dims.sinks ? 0 : e + epsilon));
}

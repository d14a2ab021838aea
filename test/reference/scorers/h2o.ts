// h2o (reference, f64): attention received from every query so far (Zhang et al. 2023), as a sum or per query that could pay it.

import type { Dims, Numbers } from "../expected-attention";
import { attentionReceived } from "./attention-received";

export interface AllQueries {
  readonly queries: Numbers; // (T, H, D), after RoPE: every position's
  readonly keys: Numbers; // (G, T, D), after RoPE
}

/** Sum over all queries, mean over the group, (G, T). Early tokens collect more terms. Sinks 0. */
export function h2o(given: AllQueries, dims: Dims): Float64Array {
  return withoutSinks(attentionReceived({ ...given, reduce: "sum", group: "mean" }, dims), dims);
}

/** The same per query that sees the token (T - t of them): kvpress's ObservedAttention. (G, T). */
export function h2oExposed(given: AllQueries, dims: Dims): Float64Array {
  return withoutSinks(attentionReceived({ ...given, reduce: "mean-exposed", group: "mean" }, dims), dims);
}

/** Running form while decoding: what the slots had (G, T) plus what one more token's queries (1, H, D) pay. Divide by `exposures` for the normalised form. */
export function h2oAfter(before: Numbers, given: AllQueries, dims: Dims): Float64Array {
  return attentionReceived({ ...given, reduce: "sum", group: "mean" }, dims).map((p, n) => (n % dims.T < dims.sinks ? 0 : (before[n] ?? 0) + p));
}

/** KV-Compress's metric: squared attention of the given queries, summed over them and over the group, (G, T). */
export function squaredAttention(given: AllQueries, dims: Dims): Float64Array {
  return withoutSinks(attentionReceived({ ...given, reduce: "sum-squares", group: "sum" }, dims), dims);
}

export function withoutSinks(scores: Float64Array, { T, sinks }: Pick<Dims, "T" | "sinks">): Float64Array {
  return scores.map((score, n) => (n % T < sinks ? 0 : score));
}

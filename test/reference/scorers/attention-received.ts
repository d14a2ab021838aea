// attention-received (reference, f64): how much attention given queries pay to every key, and the ways to fold queries and a group's heads into one number.
// Every attention-based score is one call of this and a line or two. Slots carry their positions, so storage order is of no consequence.

import { type Dims, type Numbers, softmax } from "../expected-attention";

export type Shape = Pick<Dims, "T" | "H" | "G" | "D">;
export type Reduce = "mean" | "sum" | "max" | "sum-squares" | "mean-exposed";

export interface Received {
  /** (W, H, D), after RoPE. */
  readonly queries: Numbers;
  /** (G, T, D), after RoPE. */
  readonly keys: Numbers;
  /** Positions of the queries (W); by default the last W of T. */
  readonly queryPositions?: readonly number[];
  /** Positions of the keys (T); by default 0, 1, ... T-1. */
  readonly keyPositions?: readonly number[];
  /** Which key (slot) a query (row) sees; by default those at its own position and before. What is not seen is not in the softmax's sum either. */
  readonly sees?: (query: number, slot: number) => boolean;
}

/** Probability of every slot for one query of one head: (T), zeros where it sees nothing. */
export function attentionRow(given: Received, query: number, head: number, shape: Shape): Float64Array {
  const { T, H, G, D } = shape;
  const row = new Float64Array(T);
  const slots = visibleSlots(given, query, shape);
  const g = Math.floor(head / (H / G));
  const logits = slots.map((t) => {
    let dot = 0;
    for (let i = 0; i < D; i++) dot += (given.queries[(query * H + head) * D + i] ?? Number.NaN) * (given.keys[(g * T + t) * D + i] ?? Number.NaN);
    return dot / Math.sqrt(D);
  });
  softmax(logits).forEach((p, n) => {
    row[slots[n]!] = p;
  });
  return row;
}

/**
 * What all given queries pay to every slot, per query head, (H, T).
 * "mean": over all queries; "mean-exposed": over the queries that see the slot (0 where none does); "sum-squares": KV-Compress's metric.
 */
export function attentionReceivedByHead(given: Received, reduce: Reduce, shape: Shape): Float64Array {
  const { T, H, D } = shape;
  const queries = given.queries.length / (H * D);
  const received = new Float64Array(H * T);
  const seen = new Float64Array(T);
  for (let w = 0; w < queries; w++) for (const t of visibleSlots(given, w, shape)) seen[t]! += 1;
  for (let h = 0; h < H; h++) {
    for (let w = 0; w < queries; w++)
      attentionRow(given, w, h, shape).forEach((p, t) => {
        const before = received[h * T + t]!;
        received[h * T + t] = reduce === "max" ? Math.max(before, p) : before + (reduce === "sum-squares" ? p * p : p);
      });
    for (let t = 0; t < T; t++) {
      if (reduce === "mean") received[h * T + t]! /= queries;
      if (reduce === "mean-exposed") received[h * T + t]! /= Math.max(1, seen[t]!);
    }
  }
  return received;
}

/** Query heads folded into their kv head: (H, T) as (G, T). */
export function overGroup(byHead: Numbers, fold: "mean" | "max" | "sum", { T, H, G }: Pick<Shape, "T" | "H" | "G">): Float64Array {
  const folded = new Float64Array(G * T);
  for (let h = 0; h < H; h++)
    for (let t = 0; t < T; t++) {
      const at = Math.floor(h / (H / G)) * T + t;
      const value = byHead[h * T + t] ?? Number.NaN;
      folded[at] =
        fold === "max" ? Math.max(h % (H / G) === 0 ? Number.NEGATIVE_INFINITY : folded[at]!, value) : folded[at]! + value / (fold === "mean" ? H / G : 1);
    }
  return folded;
}

/** attentionReceivedByHead folded over the group, (G, T). */
export function attentionReceived(given: Received & { readonly reduce: Reduce; readonly group: "mean" | "max" | "sum" }, shape: Shape): Float64Array {
  return overGroup(attentionReceivedByHead(given, given.reduce, shape), given.group, shape);
}

function visibleSlots({ queries, queryPositions, keyPositions, sees }: Received, query: number, { T, H, D }: Shape): number[] {
  const position = queryPositions?.[query] ?? T - queries.length / (H * D) + query;
  return Array.from({ length: T }, (_, t) => t).filter((t) => (sees ? sees(query, t) : (keyPositions?.[t] ?? t) <= position));
}

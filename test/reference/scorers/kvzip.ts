// kvzip (reference, f64): the most attention a slot gets while the model repeats its context (Kim et al. 2025, 2505.23416).
// The forward pass over "repeat" and the context again is the caller's; here only what its queries see and how it is folded.

import { type Dims, type Numbers, softmax } from "../expected-attention";

/** One pass over an instruction and a piece of the context again. */
export interface Replay {
  /** The context's positions [start, end) that this pass repeats. */
  readonly start: number;
  readonly end: number;
  readonly queries: Numbers; // (R, H, D), after RoPE
  readonly keys: Numbers; // (G, R, D), after RoPE: the pass's own
}

/**
 * Greatest probability from any query of the pass and any head of the group, (G, T); 0 where no pass looked. Sinks 0.
 * @param scope "chunk": the softmax is over sinks, the repeated piece and the pass's own keys so far (as published);
 *   "context": over the whole context and the own keys so far, and every slot counts (one pass; methods.md 10.3).
 */
export function kvzip(keys: Numbers, replays: readonly Replay[], scope: "chunk" | "context", dims: Dims): Float64Array {
  const { T, H, G, D, sinks } = dims;
  const scores = new Float64Array(G * T);
  for (const replay of replays) {
    const R = replay.queries.length / (H * D);
    const slots = Array.from({ length: T }, (_, t) => t).filter((t) => scope === "context" || t < sinks || (t >= replay.start && t < replay.end));
    for (let h = 0; h < H; h++)
      for (let w = 0; w < R; w++) {
        const g = Math.floor(h / (H / G));
        const logit = (rows: Numbers, row: number): number => {
          let dot = 0;
          for (let i = 0; i < D; i++) dot += (replay.queries[(w * H + h) * D + i] ?? Number.NaN) * (rows[row * D + i] ?? Number.NaN);
          return dot / Math.sqrt(D);
        };
        const own = Array.from({ length: w + 1 }, (_, r) => logit(replay.keys, g * R + r));
        const row = softmax([...slots.map((t) => logit(keys, g * T + t)), ...own]);
        slots.forEach((t, n) => {
          if (t >= sinks) scores[g * T + t] = Math.max(scores[g * T + t]!, row[n]!);
        });
      }
  }
  return scores;
}

/** KVzip+: times |W_o v| over the hidden state's length. `projected` (G, T), `hidden` (T). */
export function kvzipPlus(scores: Numbers, projected: Numbers, hidden: Numbers, { T }: Pick<Dims, "T">): Float64Array {
  return Float64Array.from(scores, (score, n) => (score * (projected[n] ?? Number.NaN)) / (hidden[n % T] ?? Number.NaN));
}

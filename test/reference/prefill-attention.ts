// prefill-attention (reference, f64): softmax(q k / sqrt(D)) v, one query head at a time, no tiles.

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly tokens: number; // queries; query t sits at row context - tokens + t
  readonly context: number;
  readonly capacity: number;
  /** Rows of every kv head that nobody attends to. */
  readonly dropped?: readonly number[];
}

/** queries (tokens, H, D), keys and values (G, capacity, D) -> (tokens, H, D). */
export function prefillAttention(queries: ArrayLike<number>, keys: ArrayLike<number>, values: ArrayLike<number>, shape: AttentionShape): Float64Array {
  const { heads, kvHeads, headSize: D, tokens, context, capacity, dropped = [] } = shape;
  const output = new Float64Array(tokens * heads * D);
  for (let t = 0; t < tokens; t++)
    for (let h = 0; h < heads; h++) {
      const query = (t * heads + h) * D;
      const base = Math.floor(h / (heads / kvHeads)) * capacity;
      const scores = Array.from({ length: context - tokens + t + 1 }, (_, row) => {
        if (dropped.includes(row)) return Number.NEGATIVE_INFINITY;
        let sum = 0;
        for (let i = 0; i < D; i++) sum += (queries[query + i] as number) * (keys[(base + row) * D + i] as number);
        return sum / Math.sqrt(D);
      });
      const top = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((a, b) => a + b);
      weights.forEach((weight, row) => {
        for (let i = 0; i < D; i++) output[query + i] = (output[query + i] as number) + (weight / total) * (values[(base + row) * D + i] as number);
      });
    }
  return output;
}

// channels (reference, f64): ThinK (2407.21018), which prunes channels of keys instead of tokens.

import type { Dims, Numbers } from "../../expected-attention";

/** mean q_c^2 over the last W queries and the group times mean k_c^2 over all tokens, (G, D). `queries` (W, H, D) after RoPE. */
export function channelScores(queries: Numbers, keys: Numbers, { T, H, G, D }: Omit<Dims, "sinks">): Float64Array {
  const W = queries.length / (H * D);
  return Float64Array.from({ length: G * D }, (_, n) => {
    const [g, i] = [Math.floor(n / D), n % D];
    let ofQueries = 0;
    let ofKeys = 0;
    for (let w = 0; w < W; w++)
      for (let h = g * (H / G); h < (g + 1) * (H / G); h++) ofQueries += (queries[(w * H + h) * D + i] ?? Number.NaN) ** 2 / (W * (H / G));
    for (let t = 0; t < T; t++) ofKeys += (keys[(g * T + t) * D + i] ?? Number.NaN) ** 2 / T;
    return ofQueries * ofKeys;
  });
}

/** The trunc(D * ratio) channels of every head with the least scores, sorted; ties to the lower channel. */
export function dropChannels(scores: Numbers, ratio: number, { G, D }: Pick<Dims, "G" | "D">): number[][] {
  return Array.from({ length: G }, (_, g) => {
    const order = Array.from({ length: D }, (_, i) => i).sort((a, b) => (scores[g * D + a] ?? 0) - (scores[g * D + b] ?? 0) || a - b);
    return order.slice(0, Math.trunc(D * ratio)).sort((a, b) => a - b);
  });
}

// rope-table: cosines and sines of every position, in f64 on the CPU: shaders' own sines are poor at large angles.

import type { ModelConfig } from "./model-config";

/** (positions, D/2) pairs of cos and sin, f32, times the scaling's magnitude. Source: RoFormer, with per-pair divisors for scaled contexts. */
export function ropeTable({ headSize, rope }: Pick<ModelConfig, "headSize" | "rope">, positions: number): Float32Array {
  const pairs = headSize / 2;
  const table = new Float32Array(positions * headSize);
  for (let pair = 0; pair < pairs; pair++) {
    const frequency = rope.theta ** (-pair / pairs) / (rope.divisors[pair] ?? 1);
    for (let position = 0; position < positions; position++) {
      table[position * headSize + 2 * pair] = rope.magnitude * Math.cos(position * frequency);
      table[position * headSize + 2 * pair + 1] = rope.magnitude * Math.sin(position * frequency);
    }
  }
  return table;
}

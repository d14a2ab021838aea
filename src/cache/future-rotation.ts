// future-rotation: RoPE's rotation averaged over the positions to come, in closed form (kvpress.md 1.2, step 4). Pure arithmetic in f64.

import type { RopeConfig } from "../model/model-config";

/**
 * Mean of the rotations at positions first, first + 1, ..., first + count - 1: per pair of channels (mean cos, mean sin), (D/2, 2).
 * The mean of a geometric series: a rotation at the middle position, shrunk by sin(count w/2) / (count sin(w/2)).
 * @param first the next position to be decoded, that is the number of tokens so far
 */
export function futureRotation(rope: RopeConfig, headSize: number, first: number, count: number): Float64Array {
  const pairs = headSize / 2;
  const rotation = new Float64Array(2 * pairs);
  const middle = first + (count - 1) / 2;
  for (let pair = 0; pair < pairs; pair++) {
    const frequency = rope.theta ** (-pair / pairs) / (rope.divisors[pair] ?? 1);
    const half = Math.sin(frequency / 2);
    const shrink = half === 0 ? 1 : Math.sin((count * frequency) / 2) / (count * half);
    rotation[2 * pair] = rope.magnitude * shrink * Math.cos(frequency * middle);
    rotation[2 * pair + 1] = rope.magnitude * shrink * Math.sin(frequency * middle);
  }
  return rotation;
}

// positions (reference): the scores that look at no key: streaming-llm, and random by a hash that a shader can make too.

import type { Dims } from "../expected-attention";

type HeadDims = Pick<Dims, "T" | "G">;

/** Later is better: (position + 1) / tokens, (G, T). With the sinks kept apart, the top n are StreamingLLM's recent n (Xiao et al. 2024). */
export function streamingLlm({ T, G }: HeadDims, positions?: readonly number[]): Float64Array {
  const last = positions ? Math.max(...positions) + 1 : T;
  return Float64Array.from({ length: G * T }, (_, n) => ((positions?.[n % T] ?? n % T) + 1) / last);
}

/** Uniform numbers in (0, 1), (G, T), the same for a (seed, layer, head, position) wherever the slot lies. */
export function random(place: { readonly seed: number; readonly layer: number }, { T, G }: HeadDims, positions?: readonly number[]): Float64Array {
  return Float64Array.from({ length: G * T }, (_, n) => randomScore(place.seed, place.layer, Math.floor(n / T), positions?.[n % T] ?? n % T));
}

/** The upper 23 bits of pcg(position + pcg(head + pcg(layer + pcg(seed)))) plus a half, over 2^23: exact in f32, never 0 or 1. */
export function randomScore(seed: number, layer: number, head: number, position: number): number {
  const hash = [layer, head, position].reduce((state, next) => pcg((state + next) >>> 0), pcg(seed >>> 0));
  return ((hash >>> 9) + 0.5) / 2 ** 23;
}

/** One u32 from another: s = n * 747796405 + 2891336453; w = ((s >> ((s >> 28) + 4)) ^ s) * 277803737; (w >> 22) ^ w. */
export function pcg(n: number): number {
  const s = (Math.imul(n, 747796405) + 2891336453) >>> 0;
  const w = Math.imul((s >>> ((s >>> 28) + 4)) ^ s, 277803737) >>> 0;
  return ((w >>> 22) ^ w) >>> 0;
}

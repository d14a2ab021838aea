// sample (reference, f64): sorts where the shader searches; the random numbers are the same integers.

import type { SamplerOptions } from "../../src/kernels/sample";

/** The id that `sample` must choose. `recent`: ids the penalty applies to. */
export function sample(logits: ArrayLike<number>, options: SamplerOptions, seed: number, index: number, recent: readonly number[] = []): number {
  const { temperature, minP } = options;
  const penalised = penalise(logits, options.repetitionPenalty, recent);
  const top = penalised.reduce((a, b) => Math.max(a, b));
  if (temperature === 0) return penalised.indexOf(top);
  const lowest = Math.max(nucleus(penalised, options, top), minP > 0 ? top + temperature * Math.log(minP) : Number.NEGATIVE_INFINITY);
  let best = -1;
  let largest = Number.NEGATIVE_INFINITY;
  penalised.forEach((logit, id) => {
    const value = (logit - top) / temperature - Math.log(-Math.log1p(-uniform(seed, index, id)));
    if (logit < lowest || value <= largest) return;
    largest = value;
    best = id;
  });
  return best;
}

/** Probabilities that `sample` draws from. */
export function distribution(logits: ArrayLike<number>, options: SamplerOptions): Float64Array {
  const all = Float64Array.from(logits);
  const top = all.reduce((a, b) => Math.max(a, b));
  const lowest = Math.max(nucleus(all, options, top), options.minP > 0 ? top + options.temperature * Math.log(options.minP) : Number.NEGATIVE_INFINITY);
  const weights = all.map((logit) => (logit < lowest ? 0 : Math.exp((logit - top) / options.temperature)));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

function penalise(logits: ArrayLike<number>, penalty: number, recent: readonly number[]): Float64Array {
  const seen = new Set(recent);
  return Float64Array.from(logits, (logit, id) =>
    !seen.has(id) ? logit : Math.fround(logit > 0 ? logit / Math.fround(penalty) : logit * Math.fround(penalty)),
  );
}

/** The lowest logit that top-k, then top-p leave. */
function nucleus(logits: Float64Array, { temperature, topK, topP }: SamplerOptions, top: number): number {
  let kept = [...logits].sort((a, b) => b - a);
  if (topK > 0 && topK < kept.length) kept = kept.filter((logit) => logit >= (kept[topK - 1] as number));
  if (topP >= 1) return kept[kept.length - 1] as number;
  const weights = kept.map((logit) => Math.exp((logit - top) / temperature));
  const wanted = topP * weights.reduce((a, b) => a + b);
  let mass = 0;
  return kept[weights.findIndex((weight) => (mass += weight) >= wanted)] as number;
}

function uniform(seed: number, index: number, id: number): number {
  return ((pcg((id + pcg((index + pcg(seed)) >>> 0)) >>> 0) >>> 9) + 0.5) / 2 ** 23;
}

function pcg(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}

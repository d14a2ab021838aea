// tolerances: how far a result may be from its reference, with the reason; and the comparison that says where it is not.

import { expect } from "vitest";

export interface Tolerance {
  /** Allowed |got - want| is atol + rtol * |want|. */
  readonly atol: number;
  readonly rtol: number;
  readonly because: string;
}

export const tolerances = {
  f64: { atol: 1e-12, rtol: 1e-10, because: "two orders of the same f64 sums" },
  kvpressDouble: { atol: 5e-7, rtol: 1e-6, because: "kvpress in f64, but with the RoPE tables (and softmax) that Transformers makes in f32" },
  printed6: { atol: 1e-12, rtol: 1e-5, because: "the reference printed six digits, the first of which may be a 1" },
  frequency: { atol: 0, rtol: 1e-6, because: "transformers computes RoPE's frequencies in f32" },
  score: { atol: 1e-9, rtol: 1e-4, because: "f32 sums of up to D^2 products in an exponent of a few units" },
  keptScore: {
    atol: 1e-9,
    rtol: 1e-3,
    because: "moments kept in f16: D products, each off by up to 2^-11, in an exponent (3e-4 of a score); a plane missed is off by 6e-3",
  },
  monteCarlo: { atol: 0, rtol: 0.01, because: "400,000 samples of a log-normal: standard error about .003" },
  kvpressOverlap: {
    atol: 0.02,
    rtol: 0,
    because: "slots whose scores lie within the rounding of keys to f16 change places, .0015 of them; critical's other norm moves .013; another method over .1",
  },
  spread: {
    atol: 1e-5,
    rtol: 1e-4,
    because: "variances as differences of f32 sums over a window, 200 times as much in a score; a missing query is off by a tenth",
  },
  credits: { atol: 2e-3, rtol: 1e-5, because: "up to some hundred cosines, each rounded to 1/65,536; one of them missing is off by .5" },
  normalizers: { atol: 1e-5, rtol: 1e-5, because: "f32 sums of up to a few hundred products, inside a logarithm" },
  moments: { atol: 1e-5, rtol: 2e-5, because: "f32 sums over a few hundred queries of variance 1 to 10 around a pivot some deviations away" },
  product: { atol: 2e-5, rtol: 2e-5, because: "f32 sums of up to 1,536 products of size 0.1, in any order; a wrong or missing product is off by 1e-2" },
  cacheAttention: { atol: 2e-5, rtol: 1e-4, because: "f32 softmax and sums over some hundred slots of size 1; a slot missed or read askew is off by 1e-2" },
  markers: { atol: 2e-3, rtol: 2e-3, because: "f16 means of size 1, rounded once a compression; a slot missed or in the wrong span is off by 1e-2" },
  logits: {
    atol: 0.02,
    rtol: 1e-3,
    because: "keys and values rounded to f16: PyTorch with the same rounding moves SmolLM2's logits by up to .018; a wrong channel by 0.3",
  },
  tinyLogits: {
    atol: 0.055,
    rtol: 1e-3,
    because: "as logits: the tiny model's residual stream grows to 4e6, and the same rounding in PyTorch moves its logits by up to .048",
  },
  hiddenKeys: {
    atol: 5e-3,
    rtol: 0,
    because:
      "logits from the same f16 keys and values, added up in another order: 1e-4 on the tiny model; keys turned to their rows' numbers instead of their positions are off by .04",
  },
  norm: { atol: 1e-6, rtol: 1e-5, because: "an f32 sum of squares, WGSL's inverseSqrt within 2 ulp" },
  unpacked: { atol: 1e-7, rtol: 1e-6, because: "one f32 multiply and add per element" },
  rotation: { atol: 1e-5, rtol: 1e-6, because: "cos and sin rounded to f32, two products of size 10" },
  half: { atol: 1e-5, rtol: 2 ** -10, because: "f16 keeps 11 bits; an adapter may truncate instead of rounding" },
  attention: { atol: 2e-5, rtol: 2e-5, because: "scores of size 20 summed in f32 stand in an exponent; a key too many or too few is off by 1e-2" },
  headSignal: { atol: 2e-4, rtol: 1e-5, because: "the log of an f32 sum of e^logit over some hundred slots; a unit missed is off by 1e-2" },
  blockMass: { atol: 1e-6, rtol: 2e-5, because: "f32 scales and queries, in an exponent of a few units; a slot too many is off by 1e-3" },
  logprob: { atol: 5e-6, rtol: 1e-6, because: "differences of logits of size 20 and the log of an f32 sum over the vocabulary" },
  kl: { atol: 1e-11, rtol: 2e-5, because: "f32 sums of non-negative terms; logits of size 30 are themselves rounded to 2e-6" },
  halfPrecision: { atol: 2e-4, rtol: 1e-3, because: "a result stored as f16: 2^-11 of values up to 4, or of a scale" },
  halfBound: { atol: 6.2e-5, rtol: 2 ** -9, because: "a bound rounded outward to f16, which has 10 digits after the first; below 2^-14 to that" },
  byteBound: {
    atol: 0.01,
    rtol: 1 / 15,
    because: "a bound rounded outward to 8 bits: a sixteenth, or a 16th of a scale, which is a 246th of the largest key, up to 35",
  },
  candidate: { atol: 1e-9, rtol: 1e-4, because: "f32 sums of squares and a power; keys twice rounded or a wrong mean are off by 1e-2" },
  sharpAttention: { atol: 2e-3, rtol: 1e-3, because: "logits of some hundreds, whose f32 rounding is 3e-5 of a nat, over f16 keys" },
  inverse: { atol: 1e-7, rtol: 1e-7, because: "an f64 inverse of a matrix whose condition is at most some thousands" },
  eigen: { atol: 1e-7, rtol: 1e-7, because: "rotations until rows are orthogonal to 1e-10, in f64" },
  halfBasis: { atol: 2e-4, rtol: 2 ** -10, because: "a basis rounded to f16, elements of up to 2" },
  codec: { atol: 1e-6, rtol: 2 ** -10, because: "the same f64 steps in another order, a scale rounded by way of f32 or not; another code is off by 1e-2" },
  measuredMean: {
    atol: 0.02,
    rtol: 0.01,
    because: "means over 1,400 tokens of keys that adapters compute with logits off by .05; another text's are off by 0.3",
  },
  measuredError: { atol: 1e-7, rtol: 0.03, because: "errors of some hundred vectors, of which a few fall on another code" },
} as const satisfies Record<string, Tolerance>;

/** Fails with the range of indices that are off, the worst of them, and what was wanted there. */
export function expectClose(got: ArrayLike<number>, want: ArrayLike<number>, tolerance: Tolerance): void {
  expect(got.length, "length").toBe(want.length);
  const off: number[] = [];
  let worst = -1;
  let excess = 0;
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs((got[i] ?? Number.NaN) - (want[i] ?? Number.NaN));
    const allowed = tolerance.atol + tolerance.rtol * Math.abs(want[i] ?? Number.NaN);
    if (error <= allowed) continue;
    off.push(i);
    const ratio = error / allowed;
    if (worst >= 0 && !(ratio > excess)) continue;
    worst = i;
    excess = ratio;
  }
  if (off.length === 0) return;
  expect.fail(
    `${off.length} of ${want.length} are off, indices ${off[0]} to ${off[off.length - 1]}; worst at ${worst}: got ${got[worst]}, want ${want[worst]}, ` +
      `${excess.toPrecision(3)} times what is allowed (${tolerance.atol} + ${tolerance.rtol} |want|: ${tolerance.because})`,
  );
}

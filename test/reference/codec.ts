// codec: how a slot's key or value is coded, in f64: centred, rotated block-wise by Hadamard, rounded, and back.

import type { Numbers } from "./expected-attention";

/** Bits of the nearest f16 (ties to even, as pack2x16float does on every known driver). */
export function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 1e-30)));
  const unit = 2 ** (exponent - 10);
  const steps = roundEven(size / unit);
  return sign | (exponent === -14 ? steps : ((exponent + 15) << 10) + (steps - 1024));
}

export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

export function half(value: number): number {
  return fromHalf(toHalf(value));
}

/** Walsh-Hadamard transform of each block (the largest power of two that divides D), orthonormal, by its definition; its own inverse. */
export function hadamard(x: Numbers): Float64Array {
  const block = x.length & -x.length;
  return Float64Array.from({ length: x.length }, (_, c) => {
    const start = c - (c % block);
    let sum = 0;
    for (let j = 0; j < block; j++) sum += (parity(c & j & (block - 1)) ? -1 : 1) * (x[start + j] ?? Number.NaN);
    return sum / Math.sqrt(block);
  });
}

export interface Coded {
  readonly codes: Uint8Array;
  readonly scale: number; // f16
  readonly zero: number; // f16; at two bits -1.5 scales
}

/**
 * Codes of a centred and rotated vector.
 * @param stored scale and zero to round with instead of one's own: f16 conversions may round to nearest or toward zero
 */
export function encode(x: Numbers, bits: 8 | 4 | 2, stored?: { readonly scale: number; readonly zero: number }): Coded {
  return bits === 2 ? encodeUnbiased(x) : encodeRange(x, bits, stored);
}

export function decode({ codes, scale, zero }: Coded): Float64Array {
  return Float64Array.from(codes, (code) => zero + scale * code);
}

/** What a vector is after coding: mean and rotation undone. */
export function recode(vector: Numbers, mean: Numbers, bits: 16 | 8 | 4 | 2): Float64Array {
  if (bits === 16) return Float64Array.from({ length: vector.length }, (_, c) => half(vector[c] ?? Number.NaN));
  const rotated = hadamard(Float64Array.from({ length: vector.length }, (_, c) => (vector[c] ?? Number.NaN) - (mean[c] ?? Number.NaN)));
  return hadamard(decode(encode(rotated, bits))).map((value, c) => value + (mean[c] ?? Number.NaN));
}

/** Round to nearest between the smallest and the largest channel. */
function encodeRange(x: Numbers, bits: 8 | 4, stored?: { readonly scale: number; readonly zero: number }): Coded {
  const most = 2 ** bits - 1;
  const [least, largest] = [Math.min(...Array.from(x)), Math.max(...Array.from(x))];
  const { scale, zero } = stored ?? { scale: half((largest - least) / most), zero: half(least) };
  const codes = Uint8Array.from(x, (value) => (scale > 0 ? Math.min(most, Math.max(0, Math.floor((value - zero) / scale + 0.5))) : 0));
  return { codes, scale, zero };
}

/** The grid +-0.5, +-1.5 of 0.995 deviations, with the scale that keeps the product with the vector itself. */
function encodeUnbiased(x: Numbers): Coded {
  const energy = dot(x, x);
  const step = Math.max(0.995 * Math.sqrt(energy / x.length), 1e-8);
  const codes = Uint8Array.from(x, (value) => Math.min(3, Math.max(0, Math.floor(value / step) + 2)));
  const levels = Float64Array.from(codes, (code) => code - 1.5);
  const scale = half(energy / Math.max(dot(x, levels), 1e-8));
  return { codes, scale, zero: -1.5 * scale };
}

export function dot(a: Numbers, b: Numbers): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? Number.NaN) * (b[i] ?? Number.NaN);
  return sum;
}

function parity(bits: number): boolean {
  let odd = false;
  for (let rest = bits; rest > 0; rest &= rest - 1) odd = !odd;
  return odd;
}

function roundEven(value: number): number {
  const low = Math.floor(value);
  const part = value - low;
  if (part !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

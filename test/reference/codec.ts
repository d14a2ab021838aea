// codec: how a slot's key or value is coded, in f64: centred, turned (block-wise by Hadamard, or into a calibrated basis), rounded, and back.

import type { Numbers } from "./expected-attention";
import { agaccEncode } from "./precision";

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
  const signs = signsOf(block);
  const y = new Float64Array(x.length);
  for (let c = 0; c < x.length; c++) {
    const start = c - (c % block);
    let sum = 0;
    for (let j = 0; j < block; j++) sum += (signs[(c % block) * block + j] ?? Number.NaN) * (x[start + j] ?? Number.NaN);
    y[c] = sum / Math.sqrt(block);
  }
  return y;
}

const knownSigns = new Map<number, Int8Array>();

/** The matrix (block, block): -1 where an odd number of bits of row and column meet. */
function signsOf(block: number): Int8Array {
  let signs = knownSigns.get(block);
  if (!signs) {
    signs = Int8Array.from({ length: block * block }, (_, at) => (parity(Math.floor(at / block) & at & (block - 1)) ? -1 : 1));
    knownSigns.set(block, signs);
  }
  return signs;
}

export interface Coded {
  readonly codes: Uint8Array;
  readonly scale: number; // f16
  readonly zero: number; // f16; at two bits -1.5 scales, at one -0.5
}

/**
 * Codes of a centred and rotated vector.
 * @param stored scale and zero to round with instead of one's own: f16 conversions may round to nearest or toward zero
 * @param s deviations that AGACC's grid reaches; 0 for the grid of the range
 */
export function encode(x: Numbers, bits: 8 | 4 | 2 | 1, stored?: { readonly scale: number; readonly zero: number }, s = 0): Coded {
  if (bits < 4) return encodeUnbiased(x, bits);
  return s > 0 ? encodeDeviation(x, bits, s, stored) : encodeRange(x, bits, stored);
}

export function decode({ codes, scale, zero }: Coded): Float64Array {
  return Float64Array.from(codes, (code) => zero + scale * code);
}

/** What a vector is after coding: mean and rotation undone. */
export function recode(vector: Numbers, mean: Numbers, bits: 16 | 8 | 4 | 2 | 1): Float64Array {
  if (bits === 16) return Float64Array.from({ length: vector.length }, (_, c) => half(vector[c] ?? Number.NaN));
  const rotated = hadamard(Float64Array.from({ length: vector.length }, (_, c) => (vector[c] ?? Number.NaN) - (mean[c] ?? Number.NaN)));
  return hadamard(decode(encode(rotated, bits))).map((value, c) => value + (mean[c] ?? Number.NaN));
}

/** What a guest's vector is after coding: rotated, but not centred. @param stored scale and zero as they stand in f16 */
export function recodeGuest(vector: Numbers, bits: 8 | 4, stored: { readonly scale: number; readonly zero: number }): Float64Array {
  return hadamard(decode(encode(hadamard(vector), bits, stored)));
}

/** A vector as a ring of 8 bits keeps it: codes, four a word, then scale and zero in an f16 pair. */
export function codedRow(vector: Numbers): Uint32Array {
  const { codes, scale, zero } = encode(hadamard(vector), 8);
  const words = Uint32Array.from({ length: codes.length / 4 }, (_, w) =>
    codes.subarray(4 * w, 4 * w + 4).reduce((word, code, at) => word + code * 2 ** (8 * at), 0),
  );
  return Uint32Array.of(...words, toHalf(scale) + toHalf(zero) * 65536);
}

/** Round to nearest between the smallest and the largest channel. */
function encodeRange(x: Numbers, bits: number, stored?: { readonly scale: number; readonly zero: number }): Coded {
  const most = 2 ** bits - 1;
  const [least, largest] = [Math.min(...Array.from(x)), Math.max(...Array.from(x))];
  const { scale, zero } = stored ?? { scale: half((largest - least) / most), zero: half(least) };
  const codes = Uint8Array.from(x, (value) => (scale > 0 ? Math.min(most, Math.max(0, Math.floor((value - zero) / scale + 0.5))) : 0));
  return { codes, scale, zero };
}

/** AGACC's grid (seed document 001, 2.4.1): codes 0 to 2^b - 2 reach from s deviations below the mean to s above; what lies beyond is cut off. */
function encodeDeviation(x: Numbers, bits: number, s: number, stored?: { readonly scale: number; readonly zero: number }): Coded {
  const { codes, mean, deviation } = agaccEncode(x, bits, s);
  const middleCode = 2 ** (bits - 1) - 1;
  const step = (s * deviation) / middleCode;
  if (!stored) return { codes: Uint8Array.from(codes, (code) => code + middleCode), scale: half(step), zero: half(mean - middleCode * step) };
  const { scale, zero } = stored;
  const round = (value: number): number => Math.min(2 * middleCode, Math.max(0, Math.floor((value - zero) / scale + 0.5)));
  return { codes: Uint8Array.from(x, (value) => (scale > 0 ? round(value) : 0)), scale, zero };
}

/** A vector of which some channels are stored: codes of those alone, in the channels' order. */
export interface SparseCoded extends Coded {
  readonly kept: readonly number[];
}

/**
 * AGACC's pruning (2.4.2) of a centred vector that is not rotated: all but the `kept` largest channels become 0, of two alike the later stays. Codes are
 * those on the grid of the whole vector, from its smallest channel to its largest.
 */
export function encodeSparse(x: Numbers, bits: number, kept: number, stored?: { readonly scale: number; readonly zero: number }): SparseCoded {
  const all = encodeRange(x, bits, stored);
  const order = Array.from(x, (value, c) => ({ size: Math.abs(value), c })).sort((a, b) => b.size - a.size || b.c - a.c);
  const channels = order
    .slice(0, kept)
    .map(({ c }) => c)
    .sort((a, b) => a - b);
  return { ...all, codes: Uint8Array.from(channels, (c) => all.codes[c] ?? 0), kept: channels };
}

/** The vector that a sparse slot's codes stand for, of D channels. */
export function decodeSparse(coded: SparseCoded, D: number): Float64Array {
  const values = decode(coded);
  const x = new Float64Array(D);
  for (const [index, c] of coded.kept.entries()) x[c] = values[index] ?? Number.NaN;
  return x;
}

/** The grid +-0.5, +-1.5 of 0.995 deviations, or at one bit the sign, with the scale that keeps the product with the vector itself. */
function encodeUnbiased(x: Numbers, bits: number): Coded {
  const energy = dot(x, x);
  const step = Math.max(0.995 * Math.sqrt(energy / x.length), 1e-8);
  const codes = Uint8Array.from(x, (value) => Math.min(2 ** bits - 1, Math.max(0, Math.floor(value / step) + 2 ** (bits - 1))));
  const levels = Float64Array.from(codes, (code) => code - middle(bits));
  const scale = half(energy / Math.max(dot(x, levels), 1e-8));
  return { codes, scale, zero: -middle(bits) * scale };
}

/** Codes lie around this one. */
function middle(bits: number): number {
  return (2 ** bits - 1) / 2;
}

/** Distance of the levels of a calibrated channel at 4 and 2 bits: about the least squared error of an even grid for N(0, 1) (Max 1960). */
export const KLT_STEPS: Readonly<Record<number, number>> = { 4: 0.3352, 2: 0.995 };

/** A calibrated basis with everything static in it, of one head. */
export interface Folded {
  readonly keys: Float64Array; // (D, D): u = keys (k - mean) has channels of variance about 1
  readonly queries: Float64Array; // (D, D): (queries q) . u = q . (k - mean)
  readonly energies: readonly number[]; // by group: how much a channel of u counts, mean 1
  readonly lengths: readonly number[]; // by group: mean squared length of a row of `queries`
}

/** keyBasis and queryBasis (D, D) with the groups' scales taken out and each group of rows rotated, by the definitions. */
export function fold(keyBasis: Numbers, queryBasis: Numbers, scales: Numbers): Folded {
  const D = Math.sqrt(keyBasis.length);
  const turned = (matrix: Numbers, factor: (scale: number) => number): Float64Array => {
    const result = new Float64Array(D * D);
    for (let c = 0; c < D; c++)
      for (let group = 0; group < 4; group++) {
        const first = (group * D) / 4;
        const part = Float64Array.from({ length: D / 4 }, (_, i) => (matrix[(first + i) * D + c] ?? Number.NaN) * factor(scales[group] ?? Number.NaN));
        hadamard(part).forEach((value, i) => {
          result[(first + i) * D + c] = value;
        });
      }
    return result;
  };
  const queries = turned(queryBasis, (scale) => scale);
  const mean = Array.from(scales).reduce((sum, scale) => sum + scale ** 2 / 4, 0);
  const lengths = [0, 1, 2, 3].map((group) => queries.subarray((group * D * D) / 4, ((group + 1) * D * D) / 4).reduce((sum, x) => sum + (x * x * 4) / D, 0));
  return { keys: turned(keyBasis, (scale) => 1 / scale), queries, energies: Array.from(scales, (scale) => scale ** 2 / mean), lengths };
}

/** matrix (D, D) times vector, or its transpose times vector. */
export function times(matrix: Numbers, vector: Numbers, transposed = false): Float64Array {
  const D = vector.length;
  return Float64Array.from({ length: D }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < D; j++) sum += (matrix[transposed ? j * D + i : i * D + j] ?? Number.NaN) * (vector[j] ?? Number.NaN);
    return sum;
  });
}

/**
 * Codes of a key in a calibrated basis: even grids around 0 of the key's own size, channels of groups without bits as 0. The scale keeps the
 * product of what is stored with itself, channels counting by their group's energy.
 */
export function encodeKlt(u: Numbers, groups: readonly number[], energies: readonly number[]): Coded {
  const bits = Array.from(u, (_, c) => groups[Math.floor((4 * c) / u.length)] ?? 0);
  const size = Math.max(1e-8, Math.sqrt(dot(u, u) / u.length));
  const codes = Uint8Array.from(u, (value, c) => {
    const depth = bits[c] ?? 0;
    return depth === 0 ? 0 : Math.min(2 ** depth - 1, Math.max(0, Math.floor(value / (size * (KLT_STEPS[depth] ?? 1))) + 2 ** (depth - 1)));
  });
  const levels = decodeKlt({ codes, scale: 1, zero: 0 }, groups);
  const stored = Float64Array.from(u, (value, c) => (bits[c] ? value * (energies[Math.floor((4 * c) / u.length)] ?? Number.NaN) : 0));
  return { codes, scale: half(dot(stored, u) / Math.max(dot(stored, levels), 1e-8)), zero: 0 };
}

/** The vector that codes in a calibrated basis stand for, still in that basis. */
export function decodeKlt({ codes, scale }: Coded, groups: readonly number[]): Float64Array {
  return Float64Array.from(codes, (code, c) => {
    const depth = groups[Math.floor((4 * c) / codes.length)] ?? 0;
    return depth === 0 ? 0 : scale * (KLT_STEPS[depth] ?? 1) * (code - middle(depth));
  });
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

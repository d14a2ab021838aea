// codec: what a vector is after coding and decoding, on the CPU: the maths of shaders/encode-slots.wgsl without its words and pages.
// Measures the formats' errors and simulates caches. Leaves to others: bytes (cache/page-layout), the coded form itself.

import type { Bits, Format, GroupBits } from "../cache/formats";
import { hadamard } from "../cache/hadamard";
import { hadamardBlock } from "../kernels/cache-kernel";
import { float16Bits, float16Value } from "../load/float16";
import { inverse } from "./linear-algebra";

/** Codes one vector and decodes it again, in place: `row` holds x - mean before, its approximation after. */
export type Coder = (row: Float64Array) => void;

/** A Hadamard basis over the vector, rounded to nearest between least and largest (8, 4 bits) or on an unbiased grid (2, 1). 16 bits keep it. */
export function hadamardCoder(bits: Bits, D: number): Coder {
  if (bits === 16) return () => {};
  const block = hadamardBlock(D);
  return (row) => {
    hadamard(row, 0, D, block);
    if (bits === 8 || bits === 4) roundBetween(row, 2 ** bits - 1);
    else roundUnbiased(row, [bits, bits, bits, bits], ONES, () => 1);
    hadamard(row, 0, D, block);
  };
}

/** What a calibrated coder needs of one (layer, kv head). */
export interface KeyBasis {
  readonly keyBasis: Float64Array; // (D, D)
  readonly groupScales: ArrayLike<number>; // (4)
}

/** The calibration's basis: groups of channels at unit variance, a Hadamard basis within each, one scale a vector that keeps its product with itself. */
export function calibratedCoder(basis: KeyBasis, bits: GroupBits, D: number): Coder {
  const back = inverse(basis.keyBasis, D);
  const size = D / GROUPS;
  const block = hadamardBlock(size);
  const scales = Float64Array.from(basis.groupScales);
  const energies = scales.map((scale) => scale * scale);
  const mean = energies.reduce((sum, energy) => sum + energy, 0) / GROUPS || 1;
  const weights = energies.map((energy) => energy / mean);
  const coded = new Float64Array(D);
  return (row) => {
    apply(basis.keyBasis, row, coded, D);
    for (let group = 0; group < GROUPS; group++) {
      for (let c = group * size; c < (group + 1) * size; c++) coded[c] = at(coded, c) / at(scales, group);
      hadamard(coded, group * size, size, block);
    }
    roundUnbiased(coded, bits, weights, (depth) => STEPS[depth] ?? 1);
    for (let group = 0; group < GROUPS; group++) {
      hadamard(coded, group * size, size, block);
      for (let c = group * size; c < (group + 1) * size; c++) coded[c] = at(coded, c) * at(scales, group);
    }
    apply(back, coded, row, D);
  };
}

/** The coders of a format for one head; `basis` is needed by calibrated ones. */
export function codersOf(format: Format, D: number, basis: KeyBasis): { readonly key: Coder; readonly value: Coder } {
  const key = format.basis === "klt" ? calibratedCoder(basis, format.keyGroups, D) : hadamardCoder(format.keyBits, D);
  return { key, value: hadamardCoder(format.valueBits, D) };
}

/** The f16 nearest to a value, as a number. */
export function half(value: number): number {
  return float16Value(float16Bits(value));
}

export const GROUPS = 4;
const ONES = Float64Array.from({ length: GROUPS }, () => 1);

/** Steps of even grids for a Gaussian of deviation 1, by bits (Max 1960); one bit is a sign. */
const STEPS: Readonly<Record<number, number>> = { 1: 1, 2: 0.995, 4: 0.3352 };

function roundBetween(row: Float64Array, most: number): void {
  let [least, largest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of row) [least, largest] = [Math.min(least, value), Math.max(largest, value)];
  const [scale, zero] = [half((largest - least) / most), half(least)];
  for (let c = 0; c < row.length; c++) {
    const code = scale > 0 ? Math.min(most, Math.max(0, Math.floor((at(row, c) - zero) / scale + 0.5))) : 0;
    row[c] = zero + scale * code;
  }
}

/**
 * Rounds to even grids of the vector's own size, then scales so that the product of what is stored with itself is kept, channels counting with
 * their group's weight. Groups of 0 bits become 0.
 * @param units distance of a grid's levels before the scale, by bits
 */
function roundUnbiased(row: Float64Array, bits: readonly number[], weights: Float64Array, units: (depth: number) => number): void {
  const length = row.length / GROUPS;
  let energy = 0;
  for (let c = 0; c < row.length; c++) energy += at(row, c) ** 2;
  const size = Math.max(Math.sqrt(energy / row.length), 1e-8);
  let [stored, along] = [0, 0];
  for (let c = 0; c < row.length; c++) {
    const group = Math.floor(c / length);
    const depth = bits[group] ?? 0;
    const middle = 2 ** (depth - 1);
    const code = Math.min(2 * middle - 1, Math.max(0, Math.floor(at(row, c) / (size * (STEPS[depth] ?? 1)) + middle)));
    const level = depth === 0 ? 0 : units(depth) * (code - middle + 0.5);
    const counts = depth === 0 ? 0 : at(weights, group) * at(row, c);
    stored += counts * at(row, c);
    along += counts * level;
    row[c] = level;
  }
  const scale = half(stored / Math.max(along, 1e-8));
  for (let c = 0; c < row.length; c++) row[c] = at(row, c) * scale;
}

function apply(matrix: Float64Array, vector: Float64Array, into: Float64Array, D: number): void {
  for (let i = 0; i < D; i++) {
    let sum = 0;
    for (let j = 0; j < D; j++) sum += at(matrix, i * D + j) * at(vector, j);
    into[i] = sum;
  }
}

/** Every index here is inside. */
function at(values: { readonly [index: number]: number | undefined }, index: number): number {
  return values[index] as number;
}

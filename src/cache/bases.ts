// bases: a calibration's bases of keys as the cache's shaders read them: everything static folded into two matrices per head.
// Leaves to others: measuring them (policy/calibration), the codes (encode-slots), the budget, which does not pay for them: they are the model's.

import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import { hadamardBlock } from "../kernels/cache-kernel";
import { float16Bits } from "../load/float16";
import type { ModelConfig } from "../model/model-config";
import type { Calibration } from "../policy/calibration";

/** A model's calibration with its bases on the GPU. */
export interface Codec {
  readonly calibration: Calibration;
  /** createBases() of it. */
  readonly bases: GPUBuffer;
}

/** Throws BAD_OPTION for a calibration of another model's shape. */
export function checkCodec({ layers, heads, kvHeads, headSize }: ModelConfig, codec: Codec | undefined): void {
  const found = codec?.calibration;
  if (!found || (found.layers === layers && found.heads === heads && found.kvHeads === kvHeads && found.headSize === headSize)) return;
  const sizes = [found.layers, found.heads, found.kvHeads, found.headSize].join(" x ");
  const expected = [layers, heads, kvHeads, headSize].join(" x ");
  throw new EngineError(
    "BAD_OPTION",
    `The calibration is of a model of ${sizes} layers, heads, kv heads and channels, this one has ${expected}. Calibrate it.`,
    {
      found: sizes,
      expected,
    },
  );
}

/** Sizes that say where a layer's bases stand. */
export type BasesShape = Pick<Calibration, "layers" | "kvHeads" | "headSize">;

/** Groups of channels that share a scale and a number of bits. */
export const GROUPS = 4;

/**
 * One buffer per model, (L, basesStride) u32. A layer: per head keyBasis (D, D/2) and queryBasis transposed (D, D/2), f16 pairs; then per head
 * eight f32: each group's part of the energy that counts, mean 1, and what a unit channel of it adds to |k - mean|^2.
 * @param owner names the owner in the byte ledger; the bytes count as weights
 */
export function createBases(gpu: Gpu, calibration: Calibration, owner = "Calibration"): GPUBuffer {
  const words = packBases(calibration);
  const buffer = gpu.createBuffer("Calibration.bases", words.byteLength, "weights", { owner });
  gpu.write(buffer, 0, words);
  return buffer;
}

/** Words of one layer's bases, padded so that each layer can be bound by itself. */
export function basesStride({ kvHeads, headSize }: BasesShape): number {
  return Math.ceil((kvHeads * (headSize * headSize + 2 * GROUPS)) / 64) * 64;
}

export function basesView(buffer: GPUBuffer, shape: BasesShape, layer: number): BufferView {
  const bytes = basesStride(shape) * 4;
  return { buffer, offset: layer * bytes, size: bytes };
}

/**
 * With S the groups' scales and R the groups' Hadamard matrices, u = R S^-1 keyBasis (k - mean) has channels of variance about 1 that are alike
 * within a group, and R S queryBasis q turns a query so that its product with u is q . (k - mean).
 */
export function packBases(calibration: Calibration): Uint32Array {
  const { layers, kvHeads, headSize: D, keyBasis, queryBasis, groupScales } = calibration;
  const stride = basesStride(calibration);
  const words = new Uint32Array(layers * stride);
  const floats = new Float32Array(words.buffer);
  for (let layer = 0; layer < layers; layer++)
    for (let head = 0; head < kvHeads; head++) {
      const index = layer * kvHeads + head;
      const scales = groupScales.subarray(index * GROUPS, (index + 1) * GROUPS);
      const matrix = index * D * D;
      const forKeys = turnRows(keyBasis.subarray(matrix, matrix + D * D), D, (group) => 1 / (scales[group] ?? 1));
      const forQueries = turnRows(queryBasis.subarray(matrix, matrix + D * D), D, (group) => scales[group] ?? 1);
      const at = layer * stride + head * D * D;
      packPairs(words, at, forKeys);
      packPairs(words, at + (D * D) / 2, transpose(forQueries, D));
      floats.set(groupNumbers(forQueries, D, scales), layer * stride + kvHeads * D * D + head * 2 * GROUPS);
    }
  return words;
}

/** Rows of a (D, D) matrix times a factor per group, then a Hadamard transform over the rows of each group, block-wise, orthonormal. */
function turnRows(matrix: Float32Array, D: number, factor: (group: number) => number): Float64Array {
  const rows = Float64Array.from(matrix, (value, n) => value * factor(Math.floor(n / D / (D / GROUPS))));
  const block = hadamardBlock(D / GROUPS);
  for (let half = 1; half < block; half *= 2)
    for (let row = 0; row < D; row++) {
      if (row & half) continue; // blocks begin at multiples of their length
      for (let c = 0; c < D; c++) {
        const [a, b] = [row * D + c, (row + half) * D + c];
        const [x, y] = [rows[a] ?? 0, rows[b] ?? 0];
        rows[a] = (x + y) / Math.SQRT2;
        rows[b] = (x - y) / Math.SQRT2;
      }
    }
  return rows;
}

function transpose(matrix: Float64Array, D: number): Float64Array {
  return Float64Array.from({ length: D * D }, (_, n) => matrix[(n % D) * D + Math.floor(n / D)] ?? 0);
}

/** Energies of the groups over their mean, then the mean squared length of a group's rows of the query's matrix: those of the inverse of the key's. */
function groupNumbers(forQueries: Float64Array, D: number, scales: Float32Array): number[] {
  const energies = Array.from(scales, (scale) => scale * scale);
  const mean = energies.reduce((sum, energy) => sum + energy, 0) / GROUPS || 1;
  const size = (D * D) / GROUPS;
  const weights = energies.map((_, group) => forQueries.subarray(group * size, (group + 1) * size).reduce((sum, x) => sum + x * x, 0) / (D / GROUPS));
  return [...energies.map((energy) => energy / mean), ...weights];
}

function packPairs(words: Uint32Array, at: number, values: Float64Array): void {
  for (let n = 0; n < values.length; n += 2) words[at + n / 2] = (float16Bits(values[n] ?? 0) | (float16Bits(values[n + 1] ?? 0) << 16)) >>> 0;
}

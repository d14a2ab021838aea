// weights: reads the GPU's unit layout (src/model/weights.ts) back into f64, element by element, straight from its definition.
// Shares no code with src/load/repack.ts.

import { type WeightKind, WORDS_PER_UNIT } from "../../src/model/weights";

/** One word's bytes, little-endian. */
const view = new DataView(new ArrayBuffer(4));

/** Element (row, col) of a matrix in unit layout. `stride` is paddedRows. */
export function weightAt(kind: WeightKind, words: Uint32Array, stride: number, row: number, col: number): number {
  const unit = Math.floor(col / 32);
  const element = col % 32;
  const word = (j: number): DataView => {
    view.setUint32(0, words[(unit * WORDS_PER_UNIT[kind] + j) * stride + row] as number, true);
    return view;
  };
  const scale = (j: number): readonly [number, number] => [half(word(j).getUint16(0, true)), half(word(j).getUint16(2, true))];
  switch (kind) {
    case "f32":
      return word(element).getFloat32(0, true);
    case "f16":
      return half(word(element >> 1).getUint16(2 * (element % 2), true));
    case "bf16": {
      const top = word(element >> 1).getUint16(2 * (element % 2), true);
      view.setUint32(0, top * 65536, true);
      return view.getFloat32(0, true);
    }
    case "q8":
      return scale(8)[0] * word(element >> 2).getInt8(element % 4) + scale(8)[1];
    case "q4":
      return scale(4)[0] * nibble(word, element) + scale(4)[1];
    case "q5": {
      const fifth = Math.floor(word(4).getUint32(0, true) / 2 ** (8 * (element % 4) + (element >> 2))) % 2;
      return scale(5)[0] * (nibble(word, element) + 16 * fifth) + scale(5)[1];
    }
    case "q6": {
      const pair = word(element < 16 ? 4 : 5).getUint8(element % 4) >> (2 * ((element % 16) >> 2));
      return (scale(6)[element < 16 ? 0 : 1] as number) * (nibble(word, element) + 16 * (pair % 4) - 32);
    }
  }
}

/** All elements, row after row. */
export function unpackWeight(kind: WeightKind, words: Uint32Array, stride: number, rows: number, cols: number): Float64Array {
  const values = new Float64Array(rows * cols);
  for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col++) values[row * cols + col] = weightAt(kind, words, stride, row, col);
  return values;
}

/** The two halves of the scale word behind element (row, col) of a coded kind: a and m, or q6's two scales. */
export function scalesAt(kind: "q8" | "q4" | "q5" | "q6", words: Uint32Array, stride: number, row: number, col: number): readonly [number, number] {
  const word = words[(Math.floor(col / 32) * WORDS_PER_UNIT[kind] + WORDS_PER_UNIT[kind] - 1) * stride + row] as number;
  return [half(word % 65536), half(Math.floor(word / 65536))];
}

/** Bytes 0..15 of words 0..3: low nibbles are elements 0..15, high nibbles 16..31. */
function nibble(word: (j: number) => DataView, element: number): number {
  const byte = word((element % 16) >> 2).getUint8(element % 4);
  return element < 16 ? byte % 16 : byte >> 4;
}

function half(bits: number): number {
  const exponent = Math.floor(bits / 1024) % 32;
  const mantissa = bits % 1024;
  const size =
    exponent === 0 ? mantissa * 2 ** -24 : exponent === 31 ? (mantissa ? Number.NaN : Number.POSITIVE_INFINITY) : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return bits >= 32768 ? -size : size;
}

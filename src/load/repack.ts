// repack: rows of GGUF blocks into the GPU's units of 32 columns, transposed (the layout is in model/weights.ts).
// The blocks are ggml's (ggml-common.h). Leaves to others: reading the rows, making and filling buffers (upload.ts).
//
// Exact, but for Q4_K, Q5_K and Q6_K: their two-level scales become one f16 product per 32 (or 16) elements, rounded to
// nearest: at most 2^-11 of a and of m, or 2^-25 where the product is below 2^-14. No value moves by more than that.

import { float16Bits, float16Value } from "./float16";
import { GGML_TYPES, type GgmlType, rowBytes } from "./ggml-types";

/** Where the words of row `firstRow` and following go: word w of row r at words[w * stride + firstRow + r]. */
export interface RepackTarget {
  readonly words: Uint32Array;
  readonly stride: number;
  readonly firstRow: number;
}

/**
 * Repacks whole rows of one type.
 * @param bytes rows * rowBytes(type, cols) bytes of the file
 * @param cols a multiple of 32
 */
export function repackRows(type: GgmlType, bytes: Uint8Array, rows: number, cols: number, target: RepackTarget): void {
  const even = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  // Every block is of even size; a Uint16Array reads it wherever it stands. WebGPU's platforms are little-endian, as GGUF is.
  const halves = new Uint16Array(even.buffer, even.byteOffset, even.byteLength >> 1);
  const perUnit = Math.max(32, GGML_TYPES[type].elements); // columns that one call of a repacker covers
  const step = rowBytes(type, perUnit) / 2;
  const rowStep = rowBytes(type, cols) / 2;
  const repack = REPACKERS[type];
  // Rows in tiles: neighbouring rows write neighbouring words, and a tile's source stays in the processor's cache.
  for (let tile = 0; tile < rows; tile += TILE_ROWS) {
    const end = Math.min(rows, tile + TILE_ROWS);
    for (let block = 0; block * perUnit < cols; block++)
      repack(halves, tile * rowStep + block * step, rowStep, end - tile, block, target.words, target.stride, target.firstRow + tile);
  }
}

const TILE_ROWS = 64;

/** Repacks one block column: block number `block` of `rows` rows, the first at halves[from], the next `rowStep` halves on. */
type Repacker = (halves: Uint16Array, from: number, rowStep: number, rows: number, block: number, words: Uint32Array, stride: number, firstRow: number) => void;

const REPACKERS: Readonly<Record<GgmlType, Repacker>> = {
  F32: copyWords(32),
  F16: copyWords(16),
  BF16: copyWords(16),
  Q8_0(halves, from, rowStep, rows, block, words, stride, firstRow) {
    for (let row = 0; row < rows; row++, from += rowStep) {
      let to = block * 9 * stride + firstRow + row;
      for (let word = 0; word < 8; word++, to += stride) words[to] = word32(halves, from + 1 + 2 * word);
      words[to] = halves[from] as number;
    }
  },
  Q4_0(halves, from, rowStep, rows, block, words, stride, firstRow) {
    for (let row = 0; row < rows; row++, from += rowStep) {
      let to = block * 5 * stride + firstRow + row;
      for (let word = 0; word < 4; word++, to += stride) words[to] = word32(halves, from + 1 + 2 * word);
      const scale = halves[from] as number;
      words[to] = scale | (float16Bits(-8 * float16Value(scale)) << 16);
    }
  },
  Q4_1(halves, from, rowStep, rows, block, words, stride, firstRow) {
    for (let row = 0; row < rows; row++, from += rowStep) {
      let to = block * 5 * stride + firstRow + row;
      for (let word = 0; word < 4; word++, to += stride) words[to] = word32(halves, from + 2 + 2 * word);
      words[to] = word32(halves, from);
    }
  },
  Q5_0(halves, from, rowStep, rows, block, words, stride, firstRow) {
    for (let row = 0; row < rows; row++, from += rowStep) {
      let to = block * 6 * stride + firstRow + row;
      for (let word = 0; word < 4; word++, to += stride) words[to] = word32(halves, from + 3 + 2 * word);
      words[to] = spreadFifthBits(word32(halves, from + 1));
      const scale = halves[from] as number;
      words[to + stride] = scale | (float16Bits(-16 * float16Value(scale)) << 16);
    }
  },
  Q5_1(halves, from, rowStep, rows, block, words, stride, firstRow) {
    for (let row = 0; row < rows; row++, from += rowStep) {
      let to = block * 6 * stride + firstRow + row;
      for (let word = 0; word < 4; word++, to += stride) words[to] = word32(halves, from + 4 + 2 * word);
      words[to] = spreadFifthBits(word32(halves, from + 2));
      words[to + stride] = word32(halves, from);
    }
  },
  Q4_K(halves, from, rowStep, rows, block, words, stride, firstRow) {
    for (let row = 0; row < rows; row++, from += rowStep) {
      for (let sub = 0; sub < 8; sub++) {
        const to = (block * 8 + sub) * 5 * stride + firstRow + row;
        renibble(halves, from + 8 + 16 * (sub >> 1), (sub & 1) * 4, words, to, stride);
        words[to + 4 * stride] = scalePair(halves, from, sub);
      }
    }
  },
  Q5_K(halves, from, rowStep, rows, block, words, stride, firstRow) {
    for (let row = 0; row < rows; row++, from += rowStep) {
      for (let sub = 0; sub < 8; sub++) {
        const to = (block * 8 + sub) * 6 * stride + firstRow + row;
        renibble(halves, from + 24 + 16 * (sub >> 1), (sub & 1) * 4, words, to, stride);
        // Bit `sub` of byte l is the fifth bit of element l: bytes 4j..4j+3 go to bit j of each byte, 16+4j.. to bit 4+j.
        let fifths = 0;
        for (let word = 0; word < 8; word++) fifths |= ((word32(halves, from + 8 + 2 * word) >>> sub) & 0x01010101) << word;
        words[to + 4 * stride] = fifths;
        words[to + 5 * stride] = scalePair(halves, from, sub);
      }
    }
  },
  Q6_K(halves, from, rowStep, rows, block, words, stride, firstRow) {
    for (let row = 0; row < rows; row++, from += rowStep) {
      const scale = float16Value(halves[from + 104] as number);
      for (let sub = 0; sub < 8; sub++) {
        const to = (block * 8 + sub) * 7 * stride + firstRow + row;
        const half = sub >> 2; // 128 elements each: 64 bytes of low nibbles, 32 bytes of high pairs
        const quarter = sub & 3;
        renibble(halves, from + 32 * half + 16 * (quarter & 1), (quarter >> 1) * 4, words, to, stride);
        let low = 0;
        let high = 0;
        for (let word = 0; word < 4; word++) {
          const pairs = from + 64 + 16 * half + 2 * word;
          low |= ((word32(halves, pairs) >>> (2 * quarter)) & 0x03030303) << (2 * word);
          high |= ((word32(halves, pairs + 8) >>> (2 * quarter)) & 0x03030303) << (2 * word);
        }
        words[to + 4 * stride] = low;
        words[to + 5 * stride] = high;
        const both = halves[from + 96 + sub] as number; // two signed bytes: elements 0..15, 16..31
        words[to + 6 * stride] = float16Bits(scale * ((both << 24) >> 24)) | (float16Bits(scale * ((both << 16) >> 24)) << 16);
      }
    }
  },
};

function copyWords(wordsPerUnit: number): Repacker {
  return (halves, from, rowStep, rows, block, words, stride, firstRow) => {
    for (let row = 0; row < rows; row++, from += rowStep) {
      let to = block * wordsPerUnit * stride + firstRow + row;
      for (let word = 0; word < wordsPerUnit; word++, to += stride) words[to] = word32(halves, from + 2 * word);
    }
  };
}

function word32(halves: Uint16Array, at: number): number {
  return (halves[at] as number) | ((halves[at + 1] as number) << 16);
}

/** 32 nibbles of 32 neighbouring bytes, `shift` 0 for the low and 4 for the high ones, into four words in the order of Q4_0. */
function renibble(halves: Uint16Array, from: number, shift: number, words: Uint32Array, to: number, stride: number): void {
  for (let word = 0; word < 4; word++) {
    const low = (word32(halves, from + 2 * word) >>> shift) & 0x0f0f0f0f;
    const high = (word32(halves, from + 8 + 2 * word) >>> shift) & 0x0f0f0f0f;
    words[to + word * stride] = low | (high << 4);
  }
}

/** Q5's bit i of element i to the unit's order: elements 4j..4j+3 to bit j of each byte, 16+4j.. to bit 4+j. */
function spreadFifthBits(bits: number): number {
  let spread = 0;
  // The product puts bit b of a nibble at bit 8b; no two terms meet, so there are no carries.
  for (let word = 0; word < 8; word++) spread |= ((((bits >>> (4 * word)) & 15) * 0x00204081) & 0x01010101) << word;
  return spread;
}

/** Q4_K's and Q5_K's scale and minimum of a sub-block, multiplied out: a = d * sc, m = -dmin * mn. Twelve bytes hold eight 6-bit pairs. */
function scalePair(halves: Uint16Array, from: number, sub: number): number {
  const first = packedByte(halves, from, sub & 3);
  const second = packedByte(halves, from, 4 + (sub & 3));
  const third = packedByte(halves, from, 8 + (sub & 3));
  const scale = sub < 4 ? first & 63 : (third & 15) | ((first >> 6) << 4);
  const minimum = sub < 4 ? second & 63 : (third >> 4) | ((second >> 6) << 4);
  const a = float16Bits(float16Value(halves[from] as number) * scale);
  return a | (float16Bits(-float16Value(halves[from + 1] as number) * minimum) << 16);
}

function packedByte(halves: Uint16Array, from: number, index: number): number {
  return ((halves[from + 2 + (index >> 1)] as number) >> (8 * (index & 1))) & 255;
}

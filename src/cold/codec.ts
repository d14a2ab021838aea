// codec: a key or value in 8 bits a channel as the cold tier keeps it, and back to the f16 pairs that attention reads.
// Leaves to others: which vectors are kept (store).

import { float16Bits, float16Value } from "../load/float16";

/** Bytes of one vector of D channels: a code each, and scale and zero in f32. */
export function coldVectorBytes(headSize: number): number {
  return headSize + 8;
}

/**
 * Rounds a vector of f16 pairs to codes c with x = zero + scale * c: zero is its least channel, 255 steps reach the greatest. An error is at most half a
 * step. (Plain range quantization; no rotation: at 8 bits it gains nothing here, and the host would have to undo it.)
 * @param words f16 pairs, D/2 from `at` on
 * @param codes D bytes from `codesAt` on are written; `scales` gets scale and zero at `scalesAt`
 */
export function encodeVector(
  words: Uint32Array,
  at: number,
  headSize: number,
  codes: Uint8Array,
  codesAt: number,
  scales: Float32Array,
  scalesAt: number,
): void {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let pair = 0; pair < headSize / 2; pair++) {
    const word = words[at + pair] ?? 0;
    const [low, high] = [float16Value(word & 0xffff), float16Value(word >>> 16)];
    CHANNELS[2 * pair] = low;
    CHANNELS[2 * pair + 1] = high;
    least = Math.min(least, low, high);
    most = Math.max(most, low, high);
  }
  const scale = Math.fround((most - least) / 255);
  const inverse = scale > 0 ? 1 / scale : 0;
  for (let channel = 0; channel < headSize; channel++) codes[codesAt + channel] = Math.round(((CHANNELS[channel] ?? 0) - least) * inverse);
  scales[scalesAt] = scale;
  scales[scalesAt + 1] = least;
}

/** The vector back as f16 pairs, D/2 words from `at` on. */
export function decodeVector(
  codes: Uint8Array,
  codesAt: number,
  scales: Float32Array,
  scalesAt: number,
  headSize: number,
  words: Uint32Array,
  at: number,
): void {
  const scale = scales[scalesAt] ?? 0;
  const zero = scales[scalesAt + 1] ?? 0;
  for (let pair = 0; pair < headSize / 2; pair++) {
    const low = float16Bits(zero + scale * (codes[codesAt + 2 * pair] ?? 0));
    const high = float16Bits(zero + scale * (codes[codesAt + 2 * pair + 1] ?? 0));
    words[at + pair] = (low | (high << 16)) >>> 0;
  }
}

/** Channels of the vector being encoded. */
const CHANNELS = new Float64Array(1024);

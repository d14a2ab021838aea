// guest-rows: how an evicted token that comes back is coded: key and value turned by a Hadamard matrix, rounded to 8 or 4 bits between their smallest and their
// largest channel, as slots in pages are, but not centred. On the host. Leaves to others: where rows stand (extra-rows), attention (shaders/lib/extra-rows.wgsl).

import { hadamardBlock } from "../kernels/cache-kernel";
import { float16Bits, float16Value } from "../load/float16";
import { hadamard } from "./hadamard";
import type { GuestBits } from "./page-layout";

/** An evicted token as it comes back: its key after RoPE, then its value, D/2 f16 pairs each. */
export interface Guest {
  readonly words: Uint32Array; // D
  readonly position: number;
  /** Pages still hold it, in fewer bits: it is attended to once its layer was judged, which drops it there. */
  readonly waits?: boolean;
}

/** In the position of a guest that waits. */
export const WAITING = 0x80000000;

/** Position of an empty row. */
export const NOWHERE = 0xffffffff;

/**
 * Writes a row: codes of key and value, (scale, zero) of each in an f16 pair, the position. Of none: an empty one.
 * @param row guestRowWords(D, bits) words
 */
export function encodeGuest(guest: Guest | undefined, headSize: number, bits: GuestBits, row: Uint32Array): void {
  row.fill(0);
  row[row.length - 1] = guest ? guest.position + (guest.waits ? WAITING : 0) : NOWHERE;
  if (!guest) return;
  const codeWords = (headSize * bits) / 32;
  for (const part of [0, 1]) {
    const x = unpack(guest.words.subarray((part * headSize) / 2, ((part + 1) * headSize) / 2));
    hadamard(x, 0, headSize, hadamardBlock(headSize));
    row[2 * codeWords + part] = encode(x, bits, row.subarray(part * codeWords, (part + 1) * codeWords));
  }
}

/** f16 pairs to channels. */
function unpack(words: Uint32Array): Float64Array {
  const x = new Float64Array(2 * words.length);
  for (const [pair, word] of words.entries()) {
    x[2 * pair] = float16Value(word & 0xffff);
    x[2 * pair + 1] = float16Value(word >>> 16);
  }
  return x;
}

/** Codes c with x = zero + scale * c, the lowest bits first. @returns scale and zero as an f16 pair, with which it was rounded */
function encode(x: Float64Array, bits: GuestBits, codes: Uint32Array): number {
  const most = 2 ** bits - 1;
  const least = Math.min(...x);
  const pair = [float16Bits((Math.max(...x) - least) / most), float16Bits(least)] as const;
  const [scale, zero] = [float16Value(pair[0]), float16Value(pair[1])];
  const perWord = 32 / bits;
  for (const [channel, value] of x.entries()) {
    const code = scale > 0 ? Math.min(most, Math.max(0, Math.floor((value - zero) / scale + 0.5))) : 0;
    const word = Math.floor(channel / perWord);
    codes[word] = ((codes[word] ?? 0) | (code << ((channel % perWord) * bits))) >>> 0;
  }
  return (pair[0] | (pair[1] << 16)) >>> 0;
}

// rope (reference, f64): rotary position embedding of one head vector, both pairings.

import type { RopePairing } from "../../src/model/model-config";

/** x (D) turned by position * frequencies[i], i = 0..D/2-1. */
export function rope(x: ArrayLike<number>, position: number, frequencies: ArrayLike<number>, pairing: RopePairing): Float64Array {
  const D = x.length;
  const y = new Float64Array(D);
  for (let i = 0; i < D / 2; i++) {
    const [a, b] = pairing === "half" ? [i, i + D / 2] : [2 * i, 2 * i + 1];
    const angle = position * (frequencies[i] as number);
    y[a] = (x[a] as number) * Math.cos(angle) - (x[b] as number) * Math.sin(angle);
    y[b] = (x[a] as number) * Math.sin(angle) + (x[b] as number) * Math.cos(angle);
  }
  return y;
}

/** theta^(-2i/D). */
export function ropeFrequencies(headSize: number, theta: number): Float64Array {
  return Float64Array.from({ length: headSize / 2 }, (_, i) => theta ** ((-2 * i) / headSize));
}

/** The halves of words made by pack2x16float. */
export function unpackHalves(words: Uint32Array): Float64Array {
  return Float64Array.from({ length: words.length * 2 }, (_, i) => half(((words[i >> 1] as number) >>> (16 * (i % 2))) & 0xffff));
}

function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  const size =
    exponent === 0 ? mantissa * 2 ** -24 : exponent === 31 ? (mantissa ? Number.NaN : Number.POSITIVE_INFINITY) : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}

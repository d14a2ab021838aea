// plane: keys or values of one block in one layer, as the cold tier keeps them, in memory and in a file alike.
// Leaves to others: the rounding of a vector (codec), which planes there are (store).

import type { CacheShape } from "../cache/page-layout";
import { coldVectorBytes } from "./codec";

/** Positions of a block. A fact, a name, a clause are about as long; smaller blocks are recalled more exactly, larger ones need fewer numbers. */
export const BLOCK = 8;

export interface Plane {
  readonly codes: Uint8Array; // (G, BLOCK, D)
  readonly scales: Float32Array; // (G, BLOCK, 2): scale, zero
  /** Both, one after the other: as it stands in a file. */
  readonly bytes: Uint8Array;
}

export function planeBytes({ kvHeads, headSize }: CacheShape): number {
  return kvHeads * BLOCK * coldVectorBytes(headSize);
}

export function makePlane(shape: CacheShape, content?: Uint8Array): Plane {
  const bytes = new Uint8Array(planeBytes(shape));
  if (content) bytes.set(content);
  const codes = shape.kvHeads * BLOCK * shape.headSize; // a multiple of 4
  return { bytes, codes: bytes.subarray(0, codes), scales: new Float32Array(bytes.buffer, codes) };
}

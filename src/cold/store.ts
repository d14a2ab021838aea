// store: the cold tier's content, in plain typed arrays outside the GPU: keys and values of whole blocks of positions, over all layers and kv heads,
// in 8 bits, within a byte limit. When that is reached, the block least pointed at goes for good.
// Leaves to others: how rows come out of the GPU (cold-tier), who points at a block (signal), what is brought back (recall).

import type { CacheShape } from "../cache/page-layout";
import { EngineError } from "../errors";
import { coldVectorBytes, decodeVector, encodeVector } from "./codec";

/** Positions of a block. A fact, a name, a clause are about as long; smaller blocks are recalled more exactly, larger ones need fewer numbers. */
export const BLOCK = 8;

/** One block: positions [BLOCK * index, BLOCK * (index + 1)). */
export interface ColdBlock {
  readonly index: number;
  /** By layer; a prompt's come one after the other. */
  readonly layers: LayerPart[];
  /** Bit i: position i of the block is here, in all layers and heads. */
  present: number;
  /** Changes with the content. */
  version: number;
  /** How much it matters: its part of the prompt's importance, or the most it was ever pointed at. The least goes first. */
  worth: number;
}

/** A block's vectors of one layer: (G, 2, BLOCK), keys then values. */
export interface LayerPart {
  readonly codes: Uint8Array; // (G, 2, BLOCK, D)
  readonly scales: Float32Array; // (G, 2, BLOCK, 2): scale, zero
}

/** Rows of one layer as they stand in a GPU buffer read back: keys and values of (G, capacity, D/2) u32, f16 pairs. */
export interface LayerRows {
  readonly words: Uint32Array;
  readonly keysAt: number; // word
  readonly valuesAt: number; // word
  readonly capacity: number; // rows of a kv head
}

/** Bytes of one block of all layers. */
export function coldBlockBytes(shape: CacheShape): number {
  return shape.layers * partBytes(shape);
}

function partBytes({ kvHeads, headSize }: CacheShape): number {
  return kvHeads * 2 * BLOCK * coldVectorBytes(headSize);
}

export class ColdStore {
  readonly #blocks = new Map<number, ColdBlock>();
  #parts = 0; // of all blocks
  #versions = 1;
  #maxBytes = 0;

  /** @param maxBytes see limit(), which throws the same */
  constructor(
    readonly shape: CacheShape,
    maxBytes: number,
  ) {
    this.limit(maxBytes);
  }

  /** Bytes that the blocks take; never above the limit. */
  get bytes(): number {
    return this.#parts * partBytes(this.shape);
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  get blocks(): Iterable<ColdBlock> {
    return this.#blocks.values();
  }

  block(index: number): ColdBlock | undefined {
    return this.#blocks.get(index);
  }

  has(position: number): boolean {
    const block = this.#blocks.get(Math.floor(position / BLOCK));
    return block !== undefined && ((block.present >> (position % BLOCK)) & 1) === 1;
  }

  /**
   * Sets the limit; what no longer fits goes for good at once, the least worth first.
   * Throws BAD_OPTION for a limit that is no number of bytes or below one block; nothing has changed then.
   */
  limit(maxBytes: number): void {
    const least = coldBlockBytes(this.shape);
    if (!(Number.isSafeInteger(maxBytes) && maxBytes >= least))
      throw new EngineError(
        "BAD_OPTION",
        `Option cold.maxBytes is ${maxBytes}. A block of ${BLOCK} tokens takes ${least} bytes with this model: give room for one at least, or leave cold out.`,
        { field: "cold.maxBytes", found: maxBytes, expected: least },
      );
    this.#maxBytes = maxBytes;
    this.#shrink();
  }

  /**
   * Takes in one layer's rows of positions [from, to), layer 0 first. They count as present once finish() was called for them. Where the limit is reached the
   * block of least worth goes, whichever that is: a block that is gone does not come back with a later layer.
   * @param rowOf where a position's row stands
   * @param worth what this layer adds to a block's worth
   */
  put(layer: number, rows: LayerRows, [from, to]: readonly [number, number], rowOf: (position: number) => number, worth: (index: number) => number): void {
    const { kvHeads, headSize } = this.shape;
    const first = Math.floor(from / BLOCK);
    for (let index = first; index * BLOCK < to; index++) this.#open(index, layer, worth(index)); // all, before one of them may have to go
    for (let index = first; index * BLOCK < to; index++) {
      const part = this.#partOf(index, layer);
      if (!part) continue;
      for (let position = Math.max(from, index * BLOCK); position < Math.min(to, (index + 1) * BLOCK); position++)
        for (let vector = 0; vector < 2 * kvHeads; vector++) {
          const at = (vector % 2 === 0 ? rows.keysAt : rows.valuesAt) + (((vector >> 1) * rows.capacity + rowOf(position)) * headSize) / 2;
          const slot = vector * BLOCK + (position % BLOCK);
          encodeVector(rows.words, at, headSize, part.codes, slot * headSize, part.scales, 2 * slot);
        }
    }
  }

  /** Positions [from, to) are in, in every layer. */
  finish(from: number, to: number): void {
    for (let position = from; position < to; position++) {
      const block = this.#blocks.get(Math.floor(position / BLOCK));
      if (!block) continue;
      block.present |= 1 << (position % BLOCK);
      block.version = this.#versions++;
    }
  }

  /** These positions will hold other tokens. */
  forget(which: (position: number) => boolean): void {
    for (const block of this.#blocks.values())
      for (let slot = 0; slot < BLOCK; slot++) {
        if (((block.present >> slot) & 1) === 0 || !which(block.index * BLOCK + slot)) continue;
        block.present &= ~(1 << slot);
        block.version = this.#versions++;
      }
  }

  /** Drops all other blocks. */
  retain(keep: (block: ColdBlock) => boolean): void {
    for (const block of [...this.#blocks.values()]) if (!keep(block)) this.#delete(block);
  }

  /** Takes over what another store of the same shape holds, as far as it fits. */
  copyFrom(source: ColdStore): void {
    this.clear();
    for (const { layers, ...block } of source.blocks) {
      const parts = layers.map(({ codes, scales }) => ({ codes: codes.slice(), scales: scales.slice() }));
      this.#blocks.set(block.index, { ...block, layers: parts });
      this.#parts += parts.length;
      this.#versions = Math.max(this.#versions, block.version + 1);
    }
    this.#shrink();
  }

  /** Key and value of one slot as f16 pairs, D words; undefined where it is not kept. AGACC's promotion restores a slot from it, too. */
  restore(layer: number, head: number, position: number): Uint32Array<ArrayBuffer> | undefined {
    const part = this.has(position) && this.#blocks.get(Math.floor(position / BLOCK))?.layers[layer];
    if (!part) return undefined;
    const { headSize } = this.shape;
    const words = new Uint32Array(headSize);
    for (const plane of [0, 1]) {
      const slot = (2 * head + plane) * BLOCK + (position % BLOCK);
      decodeVector(part.codes, slot * headSize, part.scales, 2 * slot, headSize, words, (plane * headSize) / 2);
    }
    return words;
  }

  clear(): void {
    this.#blocks.clear();
    this.#parts = 0;
  }

  #open(index: number, layer: number, worth: number): void {
    if (layer === 0 && !this.#blocks.has(index)) this.#blocks.set(index, { index, layers: [], present: 0, version: 0, worth: 0 });
    const block = this.#blocks.get(index);
    if (block) block.worth += worth;
  }

  /** A block's part of a layer, made if it is not there; undefined if there is no room for it. */
  #partOf(index: number, layer: number): LayerPart | undefined {
    const block = this.#blocks.get(index);
    if (!block) return undefined;
    if (!block.layers[layer]) {
      const { kvHeads, headSize } = this.shape;
      const vectors = kvHeads * 2 * BLOCK;
      block.layers[layer] = { codes: new Uint8Array(vectors * headSize), scales: new Float32Array(2 * vectors) };
      this.#parts++;
      this.#shrink();
    }
    return this.#blocks.get(index)?.layers[layer];
  }

  #shrink(): void {
    while (this.bytes > this.#maxBytes) {
      let least: ColdBlock | undefined;
      for (const block of this.#blocks.values()) if (!least || block.worth < least.worth) least = block;
      if (!least) return;
      this.#delete(least);
    }
  }

  #delete({ index, layers }: ColdBlock): void {
    this.#blocks.delete(index);
    this.#parts -= layers.length;
  }
}

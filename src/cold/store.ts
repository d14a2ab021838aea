// store: the cold tier's content outside the GPU: keys and values of whole blocks of positions, over all layers and kv heads, in 8 bits, within a byte
// limit. When that is reached, the block least pointed at goes for good. Keys are in memory, as every token asks for all of them; values may lie in a file.
// Leaves to others: how rows come out of the GPU (cold-tier), who points at a block (signal), what is brought back (recall), the file's records (value-file).

import type { CacheShape } from "../cache/page-layout";
import { EngineError } from "../errors";
import type { ScratchFile } from "../load/scratch-file";
import { decodeVector, encodeVector } from "./codec";
import { BLOCK, makePlane, type Plane, planeBytes } from "./plane";
import { type Filed, ValueFile } from "./value-file";

export { BLOCK } from "./plane";

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

/** A block's vectors of one layer. */
export interface LayerPart extends Filed {
  readonly keys: Plane;
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
  return shape.layers * 2 * planeBytes(shape);
}

/** Parts that go to a file at once: what a store holds in memory beyond its limit while it takes in a layer. */
const BATCH = 64;

export class ColdStore {
  /** Blocks that are on the GPU as well: said by who brings them there. They go last. */
  isGuest: (index: number) => boolean = () => false;
  readonly #blocks = new Map<number, ColdBlock>();
  #parts = 0; // of all blocks
  #versions = 1;
  #maxBytes = 0;
  #file: ValueFile | undefined;
  #opening: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #read: { readonly block: ColdBlock; readonly planes: readonly (Plane | undefined)[] } | undefined; // of the block read last

  /**
   * @param maxBytes see limit(), which throws the same
   * @param openFile where values lie, once open() was called; in memory if there is none
   */
  constructor(
    readonly shape: CacheShape,
    maxBytes: number,
    private readonly openFile?: () => Promise<ScratchFile>,
  ) {
    this.limit(maxBytes);
  }

  /** Opens the file, where there is to be one, and moves the values there that came before. Throws what opening throws. */
  open(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Forgets everything and gives the file back; resolves when that is deleted. */
  close(): Promise<void> {
    this.clear();
    this.#closing ??= this.#file?.close() ?? Promise.resolve();
    this.#file = undefined;
    return this.#closing;
  }

  /** Bytes that blocks take, free room of the file included; never above the limit. */
  get bytes(): number {
    return (2 * this.#parts + (this.#file?.free ?? 0)) * planeBytes(this.shape);
  }

  /** Of them those in the file, as the browser says. */
  get fileBytes(): number {
    return this.#file?.bytes ?? 0;
  }

  /** Why the file takes no more, where it does not: what comes since is kept in memory. */
  get fileFailure(): string | undefined {
    return this.#file?.failure;
  }

  /** Vectors that a token's queries are multiplied with, a group each. */
  get numKeys(): number {
    return this.#parts * this.shape.kvHeads * BLOCK;
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
   * Sets the limit; what no longer fits goes for good at once, the least worth first, guests last. A slot that was promoted has left its pages: below the bytes
   * of all guests such slots are gone with their block, and a larger budget cannot bring them back.
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
    this.#trim();
  }

  /**
   * Takes in one layer's rows of positions [from, to), layer 0 first. They count as present once finish() was called for them. Where the limit is reached the
   * block of least worth goes, whichever that is: a block that is gone does not come back with a later layer.
   * @param rowOf where a position's row stands
   * @param worth what this layer adds to a block's worth
   */
  put(layer: number, rows: LayerRows, [from, to]: readonly [number, number], rowOf: (position: number) => number, worth: (index: number) => number): void {
    this.#read = undefined;
    const first = Math.floor(from / BLOCK);
    for (let index = first; index * BLOCK < to; index++) this.#beginBlock(index, layer, worth(index)); // all, before one of them may have to go
    let whole: number[] = [];
    for (let index = first; index * BLOCK < to; index++) {
      const range = [Math.max(from, index * BLOCK), Math.min(to, (index + 1) * BLOCK)] as const;
      const isWhole = range[1] - range[0] === BLOCK;
      const part = this.#partOf(index, layer, isWhole);
      if (part) this.#encode(part, rows, range, rowOf);
      if (isWhole && whole.push(index) === BATCH) {
        this.#fileParts(whole.map((each) => this.#blocks.get(each)?.layers[layer]));
        whole = [];
      }
    }
    this.#fileParts(whole.map((index) => this.#blocks.get(index)?.layers[layer]));
    this.#trim();
  }

  /** Positions [from, to) are in, in every layer. */
  finish(from: number, to: number): void {
    for (let index = Math.floor(from / BLOCK); index * BLOCK < to; index++) {
      const block = this.#blocks.get(index);
      if (!block) continue;
      for (let position = Math.max(from, index * BLOCK); position < Math.min(to, (index + 1) * BLOCK); position++) block.present |= 1 << (position % BLOCK);
      block.version = this.#versions++;
      if (block.present === WHOLE) this.#fileParts(block.layers);
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
      const parts = layers.flatMap((part) => {
        const values = source.#copyOf(part);
        return values ? { keys: makePlane(this.shape, part.keys.bytes), values } : [];
      });
      if (parts.length < layers.length) continue; // what cannot be read is gone, here
      this.#blocks.set(block.index, { ...block, layers: parts });
      this.#parts += parts.length;
      this.#versions = Math.max(this.#versions, block.version + 1);
      if (this.#file && block.present === WHOLE) this.#fileParts(parts);
    }
    this.#shrink();
    this.#trim();
  }

  /** Key and value of one slot as f16 pairs, D words; undefined where it is not kept. AGACC's promotion restores a slot from it, too. */
  restore(layer: number, head: number, position: number): Uint32Array<ArrayBuffer> | undefined {
    const block = this.has(position) ? this.#blocks.get(Math.floor(position / BLOCK)) : undefined;
    const part = block?.layers[layer];
    const values = part && this.#valuesOf(block)?.[layer];
    if (!values) return undefined;
    const { headSize } = this.shape;
    const words = new Uint32Array(headSize);
    for (const [plane, { codes, scales }] of [part.keys, values].entries()) {
      const slot = head * BLOCK + (position % BLOCK);
      decodeVector(codes, slot * headSize, scales, 2 * slot, headSize, words, (plane * headSize) / 2);
    }
    return words;
  }

  /** The block is here and restore() will give its slots: its values were read, where they lie in a file. If they cannot be, it is gone. */
  readable(index: number): boolean {
    const block = this.#blocks.get(index);
    return block !== undefined && this.#valuesOf(block) !== undefined;
  }

  clear(): void {
    this.retain(() => false);
  }

  async #open(): Promise<void> {
    const file = await this.openFile?.();
    if (!file) return;
    if (this.#closing) return file.close();
    this.#file = new ValueFile(file, this.shape);
    for (const block of this.#blocks.values()) if (block.present === WHOLE) this.#fileParts(block.layers);
  }

  #beginBlock(index: number, layer: number, worth: number): void {
    if (layer === 0 && !this.#blocks.has(index)) this.#blocks.set(index, { index, layers: [], present: 0, version: 0, worth: 0 });
    const block = this.#blocks.get(index);
    if (block && block.layers.length < layer)
      this.#delete(block); // a layer never came: it can never be whole
    else if (block) block.worth += worth;
  }

  /** A block's part of a layer with values in memory, made if it is not there; undefined if there is no room for it. @param isNew all of it is about to be written */
  #partOf(index: number, layer: number, isNew: boolean): LayerPart | undefined {
    const block = this.#blocks.get(index);
    if (!block) return undefined;
    const part = block.layers[layer];
    if (!part) {
      block.layers[layer] = { keys: makePlane(this.shape), values: makePlane(this.shape) };
      this.#parts++;
      this.#shrink(block);
    } else if (typeof part.values === "number") {
      if (isNew) {
        this.#file?.release(part);
        part.values = makePlane(this.shape);
      } else this.#takeBack(block, part);
    }
    return this.#blocks.get(index)?.layers[layer];
  }

  #encode({ keys, values }: LayerPart, rows: LayerRows, [from, to]: readonly [number, number], rowOf: (position: number) => number): void {
    if (typeof values === "number") return;
    const { kvHeads, headSize } = this.shape;
    for (let position = from; position < to; position++)
      for (let head = 0; head < kvHeads; head++) {
        const row = ((head * rows.capacity + rowOf(position)) * headSize) / 2;
        const slot = head * BLOCK + (position % BLOCK);
        encodeVector(rows.words, rows.keysAt + row, headSize, keys.codes, slot * headSize, keys.scales, 2 * slot);
        encodeVector(rows.words, rows.valuesAt + row, headSize, values.codes, slot * headSize, values.scales, 2 * slot);
      }
  }

  /** Moves the values of whole parts to the file, where there is one. */
  #fileParts(parts: readonly (LayerPart | undefined)[]): void {
    const held = parts.filter((part) => part !== undefined && typeof part.values !== "number") as LayerPart[];
    if (held.length > 0) this.#file?.take(held);
  }

  /** Values of a part in memory again, as some of them are about to change. */
  #takeBack(block: ColdBlock, part: LayerPart): void {
    const values = this.#copyOf(part);
    if (values) {
      this.#file?.release(part);
      part.values = values;
    } else this.#delete(block);
  }

  /** Values of a block by layer, read at once, as all are asked for when it comes back; where that fails, the block is gone. */
  #valuesOf(block: ColdBlock): readonly (Plane | undefined)[] | undefined {
    if (this.#read?.block !== block) {
      const planes = block.layers.map(({ values }) => (typeof values === "number" ? this.#file?.read(values) : values));
      if (planes.includes(undefined)) {
        this.#delete(block);
        return undefined;
      }
      this.#read = { block, planes };
    }
    return this.#read.planes;
  }

  #copyOf(part: LayerPart): Plane | undefined {
    return typeof part.values === "number" ? this.#file?.read(part.values) : makePlane(this.shape, part.values.bytes);
  }

  /** @param coming block that is taken in */
  #shrink(coming?: ColdBlock): void {
    const most = Math.floor(this.#maxBytes / (2 * planeBytes(this.shape)));
    while (this.#parts > most && this.#dropLeast(coming));
  }

  /**
   * Of the blocks that are no guests the least worth goes. Where there is none, or but the one that comes in, it is the least of all: what is kept would never
   * change again otherwise, and nothing but what is kept can become a guest.
   */
  #dropLeast(coming?: ColdBlock): boolean {
    const all = [...this.#blocks.values()];
    const others = all.filter(({ index }) => !this.isGuest(index));
    const asked = others.some((block) => block !== coming) ? others : all;
    const least = asked.reduce<ColdBlock | undefined>((first, block) => (first && first.worth <= block.worth ? first : block), undefined);
    if (least) this.#delete(least);
    return least !== undefined;
  }

  /** Where memory and the file's free room together pass the limit, the file becomes shorter. */
  #trim(): void {
    if (this.bytes <= this.#maxBytes) return;
    this.#file?.trim();
    while (this.bytes > this.#maxBytes && this.#dropLeast()); // the browser did not let it
  }

  #delete(block: ColdBlock): void {
    if (this.#read?.block === block) this.#read = undefined;
    this.#blocks.delete(block.index);
    this.#parts -= block.layers.length;
    for (const part of block.layers) this.#file?.release(part);
  }
}

/** All positions of a block. */
const WHOLE = (1 << BLOCK) - 1;

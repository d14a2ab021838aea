// guests: the blocks that are back on the GPU: writes their evicted slots into guest rows between two steps, and knows which token saw them first.
// Leaves to others: who comes and goes (recall), what blocks hold (store).

import { writeGuests } from "../cache/extra-rows";
import type { KvCache } from "../cache/kv-cache";
import type { Gpu } from "../gpu/device";
import type { Evicted } from "./evicted";
import { Recall, type RecallOptions, type RecallState } from "./recall";
import { BLOCK, type ColdStore } from "./store";

/** Slots written into a place's rows, and the first token that saw them. */
interface Written {
  readonly slots: number;
  readonly since: number;
}

export interface GuestsState {
  readonly recall: RecallState;
  readonly written: readonly Written[];
}

export class Guests {
  /** Blocks that fit. */
  readonly places: number;
  #recall: Recall;
  #written: Written[] = []; // by place
  readonly #left = new Set<number>(); // places whose rows are to be emptied

  constructor(
    private readonly gpu: Gpu,
    private readonly cache: KvCache,
    private readonly store: ColdStore,
    private readonly options: RecallOptions,
  ) {
    this.places = Math.floor(cache.plan.extras.guests / BLOCK);
    this.#recall = new Recall(this.places, options);
    this.#written = this.#recall.guests.map(() => NOTHING);
  }

  /** What a copy of the cache must know: the rows themselves are copied on the GPU. */
  get state(): GuestsState {
    return { recall: this.#recall.state, written: [...this.#written] };
  }

  /** The rows are those of another moment, in this state; without one nobody is there. Blocks that the store no longer holds leave before the next token. */
  resume(state?: GuestsState): void {
    this.#recall = new Recall(this.places, this.options, state?.recall);
    this.#written = this.#recall.guests.map((_, place) => state?.written[place] ?? NOTHING);
    this.#left.clear();
    for (const [place, block] of this.#recall.guests.entries()) {
      if (block !== undefined && this.store.block(block)) continue;
      this.#recall.guests[place] = undefined;
      this.#written[place] = NOTHING;
      this.#left.add(place);
    }
  }

  /** Before a token: nothing that another moment of the cache left is attended to. */
  prepare(): void {
    const { layers, kvHeads } = this.store.shape;
    const empty = Array<undefined>(BLOCK).fill(undefined);
    for (const place of this.#left)
      for (let layer = 0; layer < layers; layer++)
        for (let head = 0; head < kvHeads; head++) writeGuests(this.gpu, this.cache.buffers, { layer, head, first: place * BLOCK }, empty);
    this.#left.clear();
  }

  /** The token at `position` attended to the block's rows. */
  attended(block: number, position: number): boolean {
    const place = this.#recall.guests.indexOf(block);
    return place >= 0 && (this.#written[place]?.since ?? 0) <= position;
  }

  /** Who comes by one token's masses, seen from the token at `now` on. What is pointed at is worth keeping. */
  choose(masses: ReadonlyMap<number, number>, tokens: number, evicted: Evicted, now: number): void {
    const changes = this.#recall.choose(masses, tokens, (block) => this.store.block(block) !== undefined);
    for (const { place, block } of changes) {
      const kept = this.store.block(block);
      if (kept) kept.worth = Math.max(kept.worth, this.#recall.pointed(block));
      this.#written[place] = { slots: -1, since: now };
      this.#write(place, block, evicted);
    }
  }

  /** Slots evicted since their block came join it; a block that the store gave up leaves. */
  refresh(evicted: Evicted): void {
    for (const [place, block] of this.#recall.guests.entries()) {
      if (block === undefined) continue;
      this.#write(place, block, evicted);
      if (!this.store.block(block)) this.#recall.guests[place] = undefined;
    }
  }

  /** A slot stands in a guest row. */
  holds(evicted: Evicted, layer: number, head: number, position: number): boolean {
    return this.#recall.has(Math.floor(position / BLOCK)) && evicted.has(layer, head, position) && this.store.has(position);
  }

  /** Of the blocks that are there, ascending. */
  positions(): number[] {
    const blocks = this.#recall.guests.filter((block) => block !== undefined).sort((a, b) => a - b);
    return blocks.flatMap((block) => Array.from({ length: BLOCK }, (_, slot) => block * BLOCK + slot).filter((position) => this.store.has(position)));
  }

  /** Writes a block's evicted slots into its place; rows of slots that pages still hold stay empty: nothing is attended to twice. */
  #write(place: number, block: number, evicted: Evicted): void {
    const { layers, kvHeads } = this.store.shape;
    const written = this.#written[place];
    if (!written) return;
    const positions = Array.from({ length: BLOCK }, (_, slot) => block * BLOCK + slot);
    let slots = 0;
    for (let layer = 0; layer < layers; layer++)
      for (let head = 0; head < kvHeads; head++) slots += positions.filter((position) => evicted.has(layer, head, position) && this.store.has(position)).length;
    if (slots === written.slots) return;
    this.#written[place] = { ...written, slots };
    for (let layer = 0; layer < layers; layer++)
      for (let head = 0; head < kvHeads; head++) {
        const rows = positions.map((position) => {
          const words = evicted.has(layer, head, position) ? this.store.restore(layer, head, position) : undefined;
          return words && { words, position };
        });
        writeGuests(this.gpu, this.cache.buffers, { layer, head, first: place * BLOCK }, rows);
      }
  }
}

const NOTHING: Written = { slots: 0, since: 0 };

// guests: the blocks that are back on the GPU: writes their evicted slots into guest rows between two steps, and those that pages hold demoted, which take the
// pages' place when their layer is next judged; and knows which token saw them first.
// Leaves to others: who comes and goes (recall), what blocks hold (store).

import { type Guest, writeGuests } from "../cache/extra-rows";
import type { KvCache } from "../cache/kv-cache";
import type { Gpu } from "../gpu/device";
import type { Evicted } from "./evicted";
import type { ColdSettings } from "./options";
import { Recall, type RecallOptions, type RecallState } from "./recall";
import { BLOCK, type ColdStore } from "./store";

/** What was written into a row: nothing, a slot that pages hold demoted, or one that they do not hold. */
const [NONE, WAITS, THERE] = [0, 1, 2];

/** What a place's rows hold, (L, G, BLOCK), and the first token that saw the block. */
interface Written {
  readonly rows: Uint8Array;
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
    private readonly options: RecallOptions & Pick<ColdSettings, "promote">,
  ) {
    this.places = Math.floor(cache.plan.extras.guests / BLOCK);
    this.#recall = new Recall(this.places, options);
    this.#written = this.#recall.guests.map(() => this.#nothing(0));
    store.isGuest = (block) => this.has(block);
  }

  /** What a copy of the cache must know: the rows themselves are copied on the GPU. */
  get state(): GuestsState {
    return { recall: this.#recall.state, written: this.#written.map(({ rows, since }) => ({ rows: rows.slice(), since })) };
  }

  /** The rows are those of another moment, in this state; without one nobody is there. Blocks that the store no longer holds leave before the next token. */
  resume(state?: GuestsState): void {
    this.#recall = new Recall(this.places, this.options, state?.recall);
    this.#written = this.#recall.guests.map((_, place) => {
      const known = state?.written[place];
      return known ? { ...known, rows: known.rows.slice() } : this.#nothing(0);
    });
    this.#left.clear();
    for (const [place, block] of this.#recall.guests.entries()) {
      if (block !== undefined && this.store.block(block)) continue;
      this.#leave(place);
      this.#left.add(place);
    }
  }

  /** Before a token: nothing that another moment of the cache left is attended to. */
  prepare(): void {
    for (const place of this.#left) this.#empty(place);
    this.#left.clear();
  }

  /** The token at `position` attended to the block's rows. */
  attended(block: number, position: number): boolean {
    const place = this.#recall.guests.indexOf(block);
    return place >= 0 && (this.#written[place]?.since ?? 0) <= position;
  }

  /** Who comes by one token's masses, seen from the token at `now` on. What is pointed at is worth keeping. */
  choose(masses: ReadonlyMap<number, number>, tokens: number, evicted: Evicted, now: number): void {
    const kept = (block: number): boolean => this.store.block(block) !== undefined;
    this.#recall.choose(masses, tokens, kept, ({ place, block }) => {
      if (!this.store.readable(block)) return false; // asked before rows of whoever is there are overwritten
      const comes = this.store.block(block);
      if (comes) comes.worth = Math.max(comes.worth, this.#recall.pointed(block));
      this.#written[place] = this.#nothing(now);
      this.#write(place, block, evicted, true);
      return true;
    });
  }

  /** Slots evicted, or demoted, since their block came join it; a block that the store gave up leaves. */
  refresh(evicted: Evicted): void {
    for (const [place, block] of this.#recall.guests.entries()) {
      if (block === undefined) continue;
      if (this.store.block(block)) this.#write(place, block, evicted);
      if (this.store.block(block)) continue; // it is there still: what was to be written could be read
      this.#empty(place);
      this.#leave(place);
    }
  }

  /** The block has a place. */
  has(block: number): boolean {
    return this.#recall.has(block);
  }

  /** Of the blocks that are there, ascending. */
  positions(): number[] {
    const blocks = this.#recall.guests.filter((block) => block !== undefined).sort((a, b) => a - b);
    return blocks.flatMap((block) => Array.from({ length: BLOCK }, (_, slot) => block * BLOCK + slot).filter((position) => this.store.has(position)));
  }

  /**
   * Writes the rows that a block's slots need and do not have yet. Rows of slots that pages hold well stay empty, those of demoted ones wait: nothing is attended
   * to twice. A row that waits is not written again before its slot is known to have left pages: it may be awake by now.
   * @param comes another block's rows stand there still
   */
  #write(place: number, block: number, evicted: Evicted, comes = false): void {
    const { layers, kvHeads } = this.store.shape;
    const rows = this.#written[place]?.rows;
    if (!rows) return;
    for (let layer = 0; layer < layers; layer++)
      for (let head = 0; head < kvHeads; head++) {
        const known = rows.subarray((layer * kvHeads + head) * BLOCK);
        const due = Array.from({ length: BLOCK }, (_, slot) => this.#dueOf(layer, head, block * BLOCK + slot, evicted));
        const isChanged = (row: number, slot: number): boolean =>
          row > (known[slot] ?? NONE) || (known[slot] !== NONE && !this.store.has(block * BLOCK + slot));
        const changed = due.flatMap((row, slot) => (comes || isChanged(row, slot) ? [slot] : []));
        const guests = changed.map((slot) => this.#guestOf(layer, head, block * BLOCK + slot, due[slot] ?? NONE));
        if (comes) writeGuests(this.gpu, this.cache.buffers, { layer, head, first: place * BLOCK }, guests);
        for (const [index, slot] of changed.entries()) {
          if (!comes) writeGuests(this.gpu, this.cache.buffers, { layer, head, first: place * BLOCK + slot }, [guests[index]]);
          known[slot] = guests[index] ? (due[slot] ?? NONE) : NONE;
        }
      }
  }

  /** What a slot's row is to hold. What is pinned stays in pages. */
  #dueOf(layer: number, head: number, position: number, evicted: Evicted): number {
    if (!this.store.has(position)) return NONE;
    if (evicted.has(layer, head, position)) return THERE;
    return this.options.promote && evicted.isDemoted(layer, head, position) && !this.#isPinned(position) ? WAITS : NONE;
  }

  #guestOf(layer: number, head: number, position: number, row: number): Guest | undefined {
    const words = row === NONE ? undefined : this.store.restore(layer, head, position);
    return words && { words, position, waits: row === WAITS };
  }

  #empty(place: number): void {
    const { layers, kvHeads } = this.store.shape;
    const empty = Array<undefined>(BLOCK).fill(undefined);
    for (let layer = 0; layer < layers; layer++)
      for (let head = 0; head < kvHeads; head++) writeGuests(this.gpu, this.cache.buffers, { layer, head, first: place * BLOCK }, empty);
  }

  #leave(place: number): void {
    this.#recall.guests[place] = undefined;
    this.#written[place] = this.#nothing(0);
  }

  #nothing(since: number): Written {
    return { rows: new Uint8Array(this.store.shape.layers * this.store.shape.kvHeads * BLOCK), since };
  }

  /** Pages keep what is pinned, whatever comes. */
  #isPinned(position: number): boolean {
    return this.cache.policy.pinned.some(([start, end]) => position >= start && position < end);
  }
}

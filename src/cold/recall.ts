// recall: which blocks are guests on the GPU. A block that a head points at comes in; the guest least pointed at makes room.
// Leaves to others: the masses (signal), the writing of rows (cold-tier).

/** What a caller may set. */
export interface RecallOptions {
  /** Attention mass, in whole heads, that must have pointed at a block lately for it to come back. */
  readonly threshold: number;
  /** Tokens after which what was pointed at counts half. */
  readonly halfLife: number;
}

/** A block comes to, or leaves, the place of a guest. */
export interface Change {
  readonly place: number;
  readonly block: number;
}

/** Who is there, and how much every block was pointed at lately. */
export interface RecallState {
  readonly guests: readonly (number | undefined)[];
  readonly pointed: ReadonlyMap<number, number>;
}

export class Recall {
  /** Block by place; undefined where none is. */
  readonly guests: (number | undefined)[];
  readonly #pointed: Map<number, number>;

  /** @param state it goes on from there; without it nobody is there and nobody was pointed at */
  constructor(
    places: number,
    private readonly options: RecallOptions,
    state?: RecallState,
  ) {
    this.guests = Array.from({ length: places }, (_, place) => state?.guests[place]);
    this.#pointed = new Map(state?.pointed);
  }

  get state(): RecallState {
    return { guests: [...this.guests], pointed: new Map(this.#pointed) };
  }

  has(block: number): boolean {
    return this.guests.includes(block);
  }

  /** How much a block was pointed at lately: a sum of attention masses, in heads. */
  pointed(block: number): number {
    return this.#pointed.get(block) ?? 0;
  }

  /**
   * Takes in the masses of one token: who comes. What is pointed at again and again adds up, and fades; a block also counts for its neighbours, as what
   * is said takes more than one block and is read on from where it was found.
   * @param tokens since the last call @param kept blocks that the store holds
   * @param comes makes a change; where it cannot, the block stays away and whoever is there stays there
   */
  choose(masses: ReadonlyMap<number, number>, tokens: number, kept: (block: number) => boolean, comes: (change: Change) => boolean = () => true): Change[] {
    const fade = 0.5 ** (tokens / this.options.halfLife);
    for (const [block, value] of this.#pointed)
      if (value * fade > FORGOTTEN) this.#pointed.set(block, value * fade);
      else this.#pointed.delete(block);
    const pooled = new Map(masses);
    for (const [block, mass] of masses)
      for (const near of [block - 1, block + 1]) if (kept(near)) pooled.set(near, Math.max(pooled.get(near) ?? 0, NEIGHBOUR * mass));
    for (const [block, mass] of pooled) this.#pointed.set(block, this.pointed(block) + mass);
    const wanted = [...this.#pointed].filter(([block, value]) => value >= this.options.threshold && kept(block) && !this.has(block));
    const changes: Change[] = [];
    for (const [block, value] of wanted.sort((a, b) => b[1] - a[1] || a[0] - b[0])) {
      const place = this.#leastPlace();
      const guest = this.guests[place];
      if (place < 0 || (guest !== undefined && STAY * this.pointed(guest) >= value)) break;
      if (!comes({ place, block })) continue;
      this.guests[place] = block;
      changes.push({ place, block });
    }
    return changes;
  }

  #leastPlace(): number {
    let least = -1;
    for (const [place, block] of this.guests.entries()) {
      if (block === undefined) return place;
      if (least < 0 || this.pointed(block) < this.pointed(this.guests[least] ?? -1)) least = place;
    }
    return least;
  }
}

/** Part of a block's mass that it counts for its neighbours. */
const NEIGHBOUR = 0.8;

/** A guest is replaced by what is pointed at this much more: no block comes and goes with every token. */
const STAY = 1.1;

const FORGOTTEN = 1e-3;

// random: every choice a sample makes, from one seed. The same seed gives the same samples on every machine.

import { seeded } from "../reference/scoring-case";

export class Random {
  readonly #next: () => number; // [0, 1)

  /** @param words what the choices are for: other words, other choices */
  constructor(...words: readonly (string | number)[]) {
    this.#next = seeded(hash(words.join("\n")));
  }

  /** A whole number from 0 to below `count`. */
  below(count: number): number {
    return Math.floor(this.#next() * count);
  }

  /** A whole number with so many digits, as text, the first not 0. */
  digits(count: number): string {
    return String(10 ** (count - 1) + this.below(9 * 10 ** (count - 1)));
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError("nothing to pick from");
    return item;
  }

  /** All items in another order (Fisher and Yates). */
  shuffled<Item>(items: readonly Item[]): Item[] {
    const mixed = [...items];
    for (let last = mixed.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      [mixed[last], mixed[other]] = [mixed[other] as Item, mixed[last] as Item];
    }
    return mixed;
  }

  /** `count` different ones of what `make` gives. */
  different(count: number, make: () => string): string[] {
    const made = new Set<string>();
    while (made.size < count) made.add(make());
    return [...made];
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) state = Math.imul(state ^ byte, 0x01000193) >>> 0;
  return state;
}

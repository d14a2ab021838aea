// occurrences: where the tokens of a conversation stood before. Heads look up what followed a token the last time (induction heads: Olsson et al. 2022,
// arXiv 2209.11895), and they do so at the very token that needs the answer, when it is too late to bring anything back; ids tell some tokens ahead.
// Leaves to others: where heads do look (signal), what comes back (recall).

import { LOCAL } from "./signal";
import { BLOCK } from "./store";

/** Heads that one token is worth: some of a layer's. */
export const OCCURRENCE = 2;

export class Occurrences {
  readonly #ids: number[] = []; // by position
  readonly #positions = new Map<number, number[]>(); // by id, ascending

  /** Of the tokens known, from position 0 on. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  /** Tokens from `position` on are these; what was known of later ones is forgotten. Where tokens before are not known, these are not either. */
  add(position: number, ids: readonly number[]): void {
    this.rewind(position);
    if (position > this.#ids.length) return;
    for (const id of ids) {
      const own = this.#positions.get(id);
      if (own) own.push(this.#ids.length);
      else this.#positions.set(id, [this.#ids.length]);
      this.#ids.push(id);
    }
  }

  rewind(tokens: number): void {
    while (this.#ids.length > tokens) this.#positions.get(this.#ids.pop() ?? -1)?.pop();
  }

  /**
   * Mass by block, in heads, that the tokens at [from, to) give to where the same ids stood before:
   *   mass(block) = sum_i OCCURRENCE |{j in block: j in E_i}| / |E_i|,  E_i = {j: id_j = id_i, block of j begins LOCAL or more before i}.
   * A rare id points at one place, a frequent one at none.
   */
  masses(from: number, to: number): Map<number, number> {
    const masses = new Map<number, number>();
    for (let position = from; position < Math.min(to, this.#ids.length); position++) {
      const all = this.#positions.get(this.#ids[position] ?? -1) ?? [];
      const earlier = all.map((at) => Math.floor(at / BLOCK)).filter((block) => position - block * BLOCK >= LOCAL);
      for (const block of earlier) masses.set(block, (masses.get(block) ?? 0) + OCCURRENCE / earlier.length);
    }
    return masses;
  }
}

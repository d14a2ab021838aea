// evicted: which slots the GPU no longer holds, and which its pages hold in fewer bits than a guest has, by (layer, kv head, position). What was evicted stays so:
// a slot never goes back into pages, and never gets more bits there.
// Leaves to others: reading what pages hold (cold-tier, kernels/hot-slots).

import type { CacheShape } from "../cache/page-layout";

/** A bit a slot, set for those that are in neither pages, ring nor sinks; one for those that pages held demoted when they were last looked at, one for those of them that rose. */
export class Evicted {
  readonly words: Uint32Array; // (L, G, stride)
  readonly demoted: Uint32Array; // the same; those evicted are not among them
  readonly risen: Uint32Array; // of those demoted: their importance rose since
  readonly stride: number;

  constructor(
    private readonly shape: CacheShape,
    readonly tokens: number,
  ) {
    this.stride = hotWords(tokens);
    this.words = new Uint32Array(shape.layers * shape.kvHeads * this.stride);
    this.demoted = new Uint32Array(this.words.length);
    this.risen = new Uint32Array(this.words.length);
  }

  copy(): Evicted {
    const other = new Evicted(this.shape, this.tokens);
    other.words.set(this.words);
    other.demoted.set(this.demoted);
    other.risen.set(this.risen);
    return other;
  }

  has(layer: number, head: number, position: number): boolean {
    return this.#bit(this.words, layer, head, position);
  }

  isDemoted(layer: number, head: number, position: number): boolean {
    return this.#bit(this.demoted, layer, head, position);
  }

  /** Held by the re-evaluation (AGACC 2.6): its importance rose, and it is demoted no further. */
  hasRisen(layer: number, head: number, position: number): boolean {
    return this.#bit(this.risen, layer, head, position);
  }

  /**
   * Takes in what pages held: of the positions [sinks, ringStart) those not among it are evicted.
   * @param hot (L, 3, G, stride) bits: held, demoted, and risen @param ringStarts by layer
   */
  update(hot: Uint32Array, sinks: number, ringStarts: readonly number[]): void {
    const { layers, kvHeads } = this.shape;
    for (let layer = 0; layer < layers; layer++)
      for (let head = 0; head < kvHeads; head++) {
        const base = (layer * kvHeads + head) * this.stride;
        const held = (3 * layer * kvHeads + head) * this.stride;
        for (let word = 0; word < this.stride; word++) {
          const judged = maskBetween(sinks - 32 * word, (ringStarts[layer] ?? 0) - 32 * word);
          this.words[base + word] = ((this.words[base + word] ?? 0) | (judged & ~(hot[held + word] ?? 0))) >>> 0;
          this.demoted[base + word] = hot[held + kvHeads * this.stride + word] ?? 0;
          this.risen[base + word] = hot[held + 2 * kvHeads * this.stride + word] ?? 0;
        }
      }
  }

  #bit(words: Uint32Array, layer: number, head: number, position: number): boolean {
    const word = words[(layer * this.shape.kvHeads + head) * this.stride + (position >>> 5)] ?? 0;
    return ((word >>> (position & 31)) & 1) === 1;
  }
}

/** Words of one (layer, kv head) with a bit for every token. */
export function hotWords(tokens: number): number {
  return Math.ceil(tokens / 32);
}

/** Bits [from, to) of a word, cut to what it has. */
function maskBetween(from: number, to: number): number {
  const below = (count: number): number => (count <= 0 ? 0 : count >= 32 ? 0xffffffff : (1 << count) - 1);
  return (below(to) & ~below(from)) >>> 0;
}

// signal: where a token's queries would look if nothing had been evicted: the attention mass of every block that the cold tier holds, from its 8-bit keys and
// the softmax sums of the slots that the GPU attended to. Leaves to others: what is done about it (recall).

import type { Evicted } from "./evicted";
import { BLOCK, type ColdStore } from "./store";

/** Tokens back from the newest that a head may look at for their nearness alone: four times the half-life of recency (policy). */
export const LOCAL = 128;

/**
 * Part of the attention to a demoted slot that counts: what is wrong where it looks. Rounded to two or three bits a key and a value are off by about an eighth of
 * their energy (methods.md 10.1). Where its importance rose significantly when it was judged anew, the proposal decompresses a slot (AGACC 2.6, step 3): there all
 * of it counts, so that its block comes back and it stands in a guest's bits.
 */
const DEMOTED = 1 / 8;

/** Masses below are noise of many slots. */
const LEAST = 1e-3;

/** What one decoded token left behind, by layer. */
export interface Signal {
  readonly position: number;
  readonly numbers: Float32Array; // by layer, `stride` apart: (H, D) rotated queries, then (H) log-sum-exp of the logits attended to
  readonly stride: number;
}

/**
 * Attention mass by block, summed over the query heads of all layers: what they would pay to the block's evicted slots,
 *   p_h(block) = sum_{j in block} e^{s_j} / (e^{lse_h} + sum_{j cold} e^{s_j}),  s_j = q_h . k_j / sqrt(D).
 * Exact but for the keys' rounding: the proposal's expected mass of a marker (AGACC 2.4.3) stands for the same where only the marker is at hand.
 * Blocks among the newest LOCAL tokens count nothing: heads that look there do so whatever is said, and the ring and the policy's recency serve them.
 * @param attended blocks whose evicted slots the GPU attended to as guests: they are part of lse already
 * @param promote slots that pages hold demoted point as well, at an eighth, in full where they rose; they are part of lse, too
 */
export function blockMasses(
  store: ColdStore,
  evicted: Evicted,
  signal: Signal,
  group: number,
  { attended = () => false, promote = false }: { readonly attended?: (block: number) => boolean; readonly promote?: boolean } = {},
): Map<number, number> {
  const { layers, kvHeads, headSize } = store.shape;
  const masses = new Map<number, number>();
  const blocks = [...store.blocks].filter(({ present }) => present !== 0);
  const own = new Float64Array(blocks.length); // of one head
  const demoted = new Float64Array(blocks.length);
  for (let layer = 0; layer < layers; layer++)
    for (let head = 0; head < kvHeads * group; head++) {
      const kvHead = Math.floor(head / group);
      const at = layer * signal.stride;
      const query = signal.numbers.subarray(at + head * headSize, at + (head + 1) * headSize);
      const lse = signal.numbers[at + kvHeads * group * headSize + head] ?? 0;
      let total = 1;
      for (const [number, { index, layers: parts, present }] of blocks.entries()) {
        const part = parts[layer];
        const massAt = (words: Uint32Array): number => {
          const bits = present & blockBits(words, evicted.stride * (layer * kvHeads + kvHead), index);
          return bits && part ? massOf(part.keys, kvHead * BLOCK, bits, query, headSize, lse) : 0;
        };
        own[number] = massAt(evicted.words);
        if (promote) demoted[number] = DEMOTED * massAt(evicted.demoted) + (1 - DEMOTED) * massAt(evicted.risen);
        if (!attended(index)) total += own[number] ?? 0;
      }
      for (const [number, { index }] of blocks.entries()) {
        const mass = Math.min(1, ((own[number] ?? 0) + (demoted[number] ?? 0)) / total); // a guest that came since stands in neither part
        if (mass > LEAST && signal.position - index * BLOCK >= LOCAL) masses.set(index, (masses.get(index) ?? 0) + mass);
      }
    }
  return masses;
}

/** A block's bits in the row of words that begins at `row`. */
function blockBits(words: Uint32Array, row: number, block: number): number {
  const position = block * BLOCK;
  return ((words[row + (position >>> 5)] ?? 0) >>> (position & 31)) & ((1 << BLOCK) - 1);
}

/** Sum of e^{s_j - lse} over the block's slots in `bits`. */
function massOf(
  { codes, scales }: { readonly codes: Uint8Array; readonly scales: Float32Array },
  first: number,
  bits: number,
  query: Float32Array,
  headSize: number,
  lse: number,
): number {
  let channels = 0;
  for (let c = 0; c < headSize; c++) channels += query[c] as number;
  const root = 1 / Math.sqrt(headSize);
  let sum = 0;
  for (let slot = 0; slot < BLOCK; slot++) {
    if (((bits >> slot) & 1) === 0) continue;
    const vector = first + slot;
    const at = vector * headSize;
    let dot = 0;
    for (let c = 0; c < headSize; c++) dot += (query[c] as number) * (codes[at + c] as number);
    const logit = root * ((scales[2 * vector] as number) * dot + (scales[2 * vector + 1] as number) * channels);
    sum += Math.exp(Math.min(80, logit - lse));
  }
  return sum;
}

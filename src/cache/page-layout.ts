// page-layout: THE byte formula. Page size, slots per page, table rows and what a budget buys.
// Knows nothing of the GPU; used by the allocator, the README's figures and the tests.

import { EngineError } from "../errors";
import type { Format } from "./formats";
import { slotWords } from "./formats";

/** Sizes of a model's cache that do not depend on its content. */
export interface CacheShape {
  readonly layers: number; // L
  readonly kvHeads: number; // G
  readonly headSize: number; // D
}

export interface PageLayout {
  readonly pageBytes: number; // a multiple of 256
  readonly pageWords: number;
  /** By format, in the order given. */
  readonly slotWords: readonly number[];
  readonly slotsPerPage: readonly number[];
}

const SMALLEST_PAGE = 256;
const LARGEST_PAGE = 8192;

/** Bytes of one token in the full 16-bit cache: keys and values of every layer and kv head. */
export function fullBytesPerToken({ layers, kvHeads, headSize }: CacheShape): number {
  return layers * kvHeads * headSize * 2 * 2;
}

/**
 * The page size that wastes least: what slots leave over at the end of a page, and the half-empty last page
 * of each (head, format).
 * @param expectedBytes what one (layer, kv head) is expected to hold, all formats together
 * @param affordable layouts a budget can pay for; where it can pay for none, the smallest comes back
 */
export function choosePageLayout(
  formats: readonly Format[],
  headSize: number,
  expectedBytes: number,
  affordable: (layout: PageLayout) => boolean = () => true,
): PageLayout {
  const words = formats.map((format) => slotWords(format, headSize));
  let best: PageLayout | undefined;
  let smallest: PageLayout | undefined;
  let leastWaste = Number.POSITIVE_INFINITY;
  for (let pageBytes = SMALLEST_PAGE; pageBytes <= LARGEST_PAGE; pageBytes += 256) {
    const pageWords = pageBytes / 4;
    const slots = words.map((count) => Math.floor(pageWords / count));
    if (slots.some((count) => count < 1)) continue;
    const layout: PageLayout = { pageBytes, pageWords, slotWords: words, slotsPerPage: slots };
    smallest ??= layout;
    if (!affordable(layout)) continue;
    const leftOver = words.reduce((sum, count, index) => sum + 1 - (count * (slots[index] ?? 0)) / pageWords, 0) / words.length;
    const halfEmpty = (formats.length * pageBytes) / 2 / Math.max(expectedBytes, pageBytes);
    const waste = leftOver + halfEmpty;
    if (waste < leastWaste) {
      leastWaste = waste;
      best = layout;
    }
  }
  best ??= smallest;
  if (!best)
    throw new EngineError(
      "UNSUPPORTED_ARCHITECTURE",
      `A slot of head size ${headSize} does not fit a page of ${LARGEST_PAGE} bytes. Use a model with smaller heads.`,
      { headSize },
    );
  return best;
}

/** Words in front of a layer's list of pages: page budget, pages used, layer, spare; then lengths and starts by (head, format). */
export const TABLE_HEADER = 4;

/** Words of one layer's table with room for `pages`, padded so that each layer can be bound by itself. */
export function tableWords(shape: CacheShape, numFormats: number, pages: number): number {
  const words = TABLE_HEADER + 2 * shape.kvHeads * numFormats + pages;
  return Math.ceil(words / 64) * 64;
}

/** Of a channel in sinks and ring: f16, or codes of 8 bits with a scale and a zero for each vector. */
export type RingBits = 16 | 8;

/** Words of a key, or of a value, in sinks and ring: f16 pairs; or codes, four a word, then scale and zero in an f16 pair. */
export function ringRowWords(headSize: number, bits: RingBits): number {
  return bits === 16 ? headSize / 2 : headSize / 4 + 1;
}

/** Words of keys (or of values) of one layer's sinks and ring, padded so that each can be bound by itself. */
export function ringPlaneWords({ kvHeads, headSize }: CacheShape, slots: number, bits: RingBits): number {
  return Math.ceil((kvHeads * slots * ringRowWords(headSize, bits)) / 64) * 64;
}

/** Words of the mean key and value of one layer, f16 pairs: (G, 2, D / 2), padded. They stand behind the layer's table. */
export function meanWords({ kvHeads, headSize }: CacheShape): number {
  return Math.ceil((kvHeads * headSize) / 64) * 64;
}

/** Rows of every kv head beside sinks and ring (src/cache/extra-rows.ts). */
export interface ExtraRows {
  readonly markers: number;
  readonly guests: number;
  /** Of a guest's channel. */
  readonly guestBits: GuestBits;
}

export type GuestBits = 8 | 4;

export const NO_EXTRA_ROWS: ExtraRows = { markers: 0, guests: 0, guestBits: 8 };

/** Words of one layer's extra rows, padded: all heads' markers, then all heads' guests. They stand behind the means. */
export function extraWords({ kvHeads, headSize }: CacheShape, { markers, guests, guestBits }: ExtraRows): number {
  return Math.ceil((kvHeads * (markers * markerRowWords(headSize) + guests * guestRowWords(headSize, guestBits))) / 64) * 64;
}

/** Words of a marker: key and value in f16 pairs, and four that say what it stands for. */
export function markerRowWords(headSize: number): number {
  return headSize + 4;
}

/** Words of a guest: codes of key and value, scale and zero of each in an f16 pair, and its position. */
export function guestRowWords(headSize: number, bits: GuestBits): number {
  return (2 * headSize * bits) / 32 + 3;
}

/** Sizes a budget pays for besides pages. */
export interface FixedParts {
  readonly numFormats: number;
  readonly ringSlots: number; // sinks + ring
  readonly ringBits: RingBits;
  readonly statisticsBytes: number;
  /** None by default. */
  readonly extras?: ExtraRows;
  /** Room in every layer's table, in times the largest layer's pages; 1 by default. */
  readonly slack?: number;
  /** Pages of every layer that are no part of what layers share; 0 by default. */
  readonly aside?: number;
  /** Bytes of what selective reading keeps beside the pages (read-plan), by the pages of the largest layer; none by default. */
  readonly readBytes?: (maxPages: number) => number;
}

/** Bytes of a cache with these pages: pages, sinks, ring, extra rows, means, tables, free list, and the policy's statistics. Every layer's table has room for the largest. */
export function cacheBytes(shape: CacheShape, layout: PageLayout, fixed: FixedParts, pages: readonly number[]): number {
  const total = pages.reduce((a, b) => a + b, 0);
  const most = Math.ceil(Math.max(...pages) * (fixed.slack ?? 1));
  const extra = extraWords(shape, fixed.extras ?? NO_EXTRA_ROWS);
  const perLayer = 2 * ringPlaneWords(shape, fixed.ringSlots, fixed.ringBits) + meanWords(shape) + extra + tableWords(shape, fixed.numFormats, most);
  return 4 * (shape.layers * perLayer + 4 + total) + Math.max(16, fixed.statisticsBytes) + (fixed.readBytes?.(most) ?? 0) + total * layout.pageBytes;
}

/**
 * Pages each layer gets under a byte budget, everything else paid first.
 * @param shares each layer's part of the bytes, sum 1; sinks and ring are part of a layer's share
 */
export function pagesPerLayer(
  shape: CacheShape,
  layout: PageLayout,
  fixed: FixedParts,
  budget: { readonly bytes: number; readonly shares: readonly number[] },
): number[] {
  const { layers, kvHeads, headSize } = shape;
  const { pageBytes } = layout;
  const { aside = 0 } = fixed;
  const least = layers * (kvHeads + aside);
  for (let total = Math.floor(budget.bytes / pageBytes); total >= least; ) {
    const ringBytes = fixed.ringSlots * kvHeads * 8 * ringRowWords(headSize, fixed.ringBits);
    const shared = divide(total - layers * aside, budget.shares, ringBytes, pageBytes, kvHeads);
    const pages = shared.map((count) => count + aside);
    const excess = cacheBytes(shape, layout, fixed, pages) - budget.bytes;
    if (excess <= 0) return pages;
    total -= Math.max(1, Math.floor(excess / ((fixed.readBytes ? 4 : 2) * pageBytes))); // a page and its table words cost less than two pages, its bounds as much again
  }
  const needed = cacheBytes(shape, layout, fixed, Array<number>(layers).fill(kvHeads + aside));
  const unjudged = aside === 0 ? "" : ` + ${aside} pages a layer for new tokens that are not judged`;
  const { markers, guests } = fixed.extras ?? NO_EXTRA_ROWS;
  const rows = markers + guests > 0 ? ` + ${markers + guests} markers and guests` : "";
  const shorten = rows === "" ? "Raise the budget or shorten the ring" : "Raise the budget, shorten the ring or ask for fewer markers and guests";
  const act = aside === 0 ? shorten : "Raise the budget, ask for fewer new tokens, or choose another schedule";
  throw new EngineError(
    "BUDGET_TOO_SMALL",
    `A budget of ${budget.bytes} bytes is below sinks + ring${rows} + one page per head${unjudged}, ${needed} bytes for this model. ${act}.`,
    { found: budget.bytes, expected: needed },
  );
}

/** Remainders this close are equal, and the lower layer is first: rounding must not decide between layers of the same share. */
const TIE = 1e-6;

/** Largest-remainder division of pages by shares, at least `least` each; a layer's ring counts towards its share. */
function divide(total: number, shares: readonly number[], ringBytes: number, pageBytes: number, least: number): number[] {
  const all = total * pageBytes + ringBytes * shares.length;
  const wanted = shares.map((share) => Math.max(least, (share * all - ringBytes) / pageBytes));
  const spare = total - least * shares.length;
  const above = wanted.map((pages) => pages - least);
  const sum = above.reduce((a, b) => a + b, 0) || 1;
  const exact = above.map((want) => (want / sum) * spare);
  const pages = exact.map((want) => least + Math.floor(want + TIE));
  const rest = total - pages.reduce((a, b) => a + b, 0);
  const remainder = (want: number): number => Math.round((want - Math.floor(want + TIE)) / TIE);
  const order = exact.map((want, layer) => ({ layer, part: remainder(want) })).sort((a, b) => b.part - a.part || a.layer - b.layer);
  for (const { layer } of order.slice(0, rest)) pages[layer] = (pages[layer] ?? 0) + 1;
  return pages;
}

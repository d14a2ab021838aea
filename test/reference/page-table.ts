// page-table: reads a layer's pages, sinks and ring back from raw words, in f64: an independent description of the bytes.

import type { CachePlan } from "../../src/cache/cache-plan";
import type { Format } from "../../src/cache/formats";
import type { Policy } from "../../src/policy/policy";
import { type Coded, decode, decodeKlt, decodeSparse, type Folded, fromHalf, hadamard, type SparseCoded, times } from "./codec";

/** The words of a cache's buffers. */
export interface CacheWords {
  readonly plan: CachePlan;
  readonly policy: Policy;
  readonly tables: Uint32Array;
  readonly pool: Uint32Array; // every page, segments joined
  readonly free: Uint32Array;
  readonly ring: Uint32Array;
  /** The model's calibrated bases, where a format needs them. */
  readonly bases?: Uint32Array;
}

export interface StoredSlot {
  readonly position: number;
  /** Index into the policy's formats, -1 for sinks and ring. */
  readonly format: number;
  readonly importance: number;
  /** Its importance rose lately: it keeps its format. */
  readonly held?: boolean;
  readonly key: Float64Array;
  readonly value: Float64Array;
  /** Its words as they stand, codes and scales, without position and importance. */
  readonly raw: readonly number[];
  /** Codes with scale and zero; 16 bits: no codes. */
  readonly keyCoded: Coded;
  readonly valueCoded: Coded;
}

/** The lists of pages of one layer, by (head, format), in order. */
export function pageLists({ plan, policy, tables }: CacheWords, layer: number): { length: number; pages: number[] }[] {
  const base = layer * plan.tableStride;
  const F = policy.formats.length;
  const lists = plan.shape.kvHeads * F;
  return Array.from({ length: lists }, (_, list) => {
    const length = tables[base + 4 + list] ?? 0;
    const count = Math.ceil(length / (plan.layout.slotsPerPage[list % F] ?? 1));
    const start = policy.mode === "static" ? list * (plan.maxPages / plan.shape.kvHeads) : (tables[base + 4 + lists + list] ?? 0);
    return { length, pages: Array.from(tables.subarray(base + 4 + 2 * lists + start, base + 4 + 2 * lists + start + count)) };
  });
}

/** Slots of one head in pages, list by list. */
export function slotsInPages(words: CacheWords, layer: number, head: number): StoredSlot[] {
  const F = words.policy.formats.length;
  return pageLists(words, layer)
    .slice(head * F, (head + 1) * F)
    .flatMap(({ length, pages }, format) => {
      const slots = words.plan.layout.slotsPerPage[format] ?? 1;
      return Array.from({ length }, (_, index) => readSlot(words, layer, head, format, pages[Math.floor(index / slots)] ?? -1, index % slots));
    });
}

/** Sinks and ring of one head when `tokens` were seen and the layer's ring holds those from `ringStart` on. */
export function slotsInRing({ plan, policy, ring }: CacheWords, layer: number, head: number, tokens: number, ringStart: number): StoredSlot[] {
  const D = plan.shape.headSize;
  const sinks = Math.min(policy.sinks, tokens);
  const positions = [...Array.from({ length: sinks }, (_, i) => i), ...Array.from({ length: Math.max(0, tokens - ringStart) }, (_, i) => ringStart + i)];
  return positions.map((position) => {
    const row = position < policy.sinks ? position : policy.sinks + (position % policy.ring);
    const words = plan.ringBits === 8 ? D / 4 + 1 : D / 2;
    const at = layer * 2 * plan.ringPlane + (head * plan.ringSlots + row) * words;
    const slot = { position, format: -1, importance: Number.POSITIVE_INFINITY, raw: [] };
    if (plan.ringBits === 16) {
      const [key, value] = [pairs(ring, at, 1, D / 2), pairs(ring, at + plan.ringPlane, 1, D / 2)];
      return { ...slot, key, value, keyCoded: NOT_CODED, valueCoded: NOT_CODED };
    }
    const [keyCoded, valueCoded] = ([at, at + plan.ringPlane] as const).map((from) =>
      codedPart(Array.from(ring.subarray(from, from + words)), Array<number>(D).fill(8), ring[from + words - 1] ?? 0),
    ) as [Coded, Coded];
    return { ...slot, key: hadamard(decode(keyCoded)), value: hadamard(decode(valueCoded)), keyCoded, valueCoded };
  });
}

/** A marker: what it stands for and what is added to its logit. */
export interface ExtraRow {
  readonly key: Float64Array;
  readonly value: Float64Array;
  readonly bias: number;
  readonly weight: number;
  readonly count: number;
  readonly first: number; // position
}

/** Markers of one head, empty ones (whose bias is -1e30) included. A row: D words of f16 pairs, then bias, weight, count and first position. */
export function markerRows({ plan, tables }: CacheWords, layer: number, head: number): ExtraRow[] {
  const D = plan.shape.headSize;
  const rows = plan.extras.markers;
  return Array.from({ length: rows }, (_, row) => {
    const at = layer * plan.tableStride + plan.extraStart + (head * rows + row) * (D + 4);
    const meta = tables.slice(at + D, at + D + 4);
    const [bias = Number.NaN, weight = Number.NaN] = new Float32Array(meta.buffer);
    return { key: pairs(tables, at, 1, D / 2), value: pairs(tables, at + D / 2, 1, D / 2), bias, weight, count: meta[2] ?? 0, first: meta[3] ?? 0 };
  });
}

/** A guest as it stands in its row. */
export interface GuestRow {
  readonly key: Float64Array;
  readonly value: Float64Array;
  readonly position: number;
  /** Nothing attends to it: pages hold the slot until the layer is judged. */
  readonly waits: boolean;
  /** Of key and value. */
  readonly coded: readonly [Coded, Coded];
}

/**
 * Guests of one head by row, behind the markers of all heads: codes of key and value, (scale, zero) of each, and the position, its top bit set where the guest waits;
 * none where that is all ones.
 */
export function guestRows({ plan, tables }: Pick<CacheWords, "plan" | "tables">, layer: number, head: number): (GuestRow | undefined)[] {
  const { headSize: D, kvHeads } = plan.shape;
  const { markers, guests, guestBits: bits } = plan.extras;
  const codeWords = (D * bits) / 32;
  const first = layer * plan.tableStride + plan.extraStart + kvHeads * markers * (D + 4);
  return Array.from({ length: guests }, (_, row) => {
    const at = first + (head * guests + row) * (2 * codeWords + 3);
    const word = tables[at + 2 * codeWords + 2] ?? 0;
    if (word === 0xffffffff) return undefined;
    const [position, waits] = [word & 0x7fffffff, word >>> 31 === 1];
    const vector = (part: number): Coded => {
      const code = (c: number): number => (tables[at + part * codeWords + Math.floor((c * bits) / 32)] ?? 0) >>> ((c * bits) % 32);
      const pair = tables[at + 2 * codeWords + part] ?? 0;
      return { codes: Uint8Array.from({ length: D }, (__, c) => code(c) & (2 ** bits - 1)), scale: fromHalf(pair & 0xffff), zero: fromHalf(pair >>> 16) };
    };
    const coded = [vector(0), vector(1)] as const;
    return { key: hadamard(decode(coded[0])), value: hadamard(decode(coded[1])), position, waits, coded };
  });
}

/** Mean key and value of a head. */
export function meansOf({ plan, tables }: CacheWords, layer: number, head: number): [Float64Array, Float64Array] {
  const D = plan.shape.headSize;
  const at = layer * plan.tableStride + plan.meanStart + head * D;
  return [pairs(tables, at, 1, D / 2), pairs(tables, at + D / 2, 1, D / 2)];
}

/** A head's calibrated basis as it stands in the buffer, rounded to f16. Unpacked once. */
export function foldedOf(words: CacheWords, layer: number, head: number): Folded {
  const { plan, bases = new Uint32Array() } = words;
  const known = unpacked.get(words) ?? new Map<number, Folded>();
  unpacked.set(words, known);
  const index = layer * plan.shape.kvHeads + head;
  const folded = known.get(index) ?? unpackBases(bases, plan.shape, layer, head);
  known.set(index, folded);
  return folded;
}

const unpacked = new WeakMap<CacheWords, Map<number, Folded>>();

/** Per layer, padded to 64 words: matrices (G, 2, D, D/2), the query's transposed; then (G, 2, 4) f32, energies and lengths. */
export function unpackBases(words: Uint32Array, { kvHeads, headSize: D }: { kvHeads: number; headSize: number }, layer: number, head: number): Folded {
  const at = layer * Math.ceil((kvHeads * (D * D + 8)) / 64) * 64;
  const matrix = (index: number): Float64Array => pairs(words, at + head * D * D + (index * D * D) / 2, 1, (D * D) / 2);
  const numbers = new Float32Array(words.buffer, words.byteOffset + 4 * (at + kvHeads * D * D + 8 * head), 8);
  const flipped = matrix(1);
  const queries = Float64Array.from(flipped, (_, n) => flipped[(n % D) * D + Math.floor(n / D)] ?? Number.NaN);
  return { keys: matrix(0), queries, energies: Array.from(numbers.subarray(0, 4)), lengths: Array.from(numbers.subarray(4)) };
}

function readSlot(words: CacheWords, layer: number, head: number, formatIndex: number, page: number, slot: number): StoredSlot {
  const { plan, policy, pool } = words;
  const format = policy.formats[formatIndex];
  if (!format || page < 0) throw new Error(`No page for slot ${slot} of format ${formatIndex}.`);
  const { valueBits } = format;
  const D = plan.shape.headSize;
  if (format.basis === "none") return readSparse(words, layer, head, formatIndex, page, slot);
  const slots = plan.layout.slotsPerPage[formatIndex] ?? 1;
  const count = plan.layout.slotWords[formatIndex] ?? 1;
  const raw = Array.from({ length: count }, (_, word) => pool[page * plan.layout.pageWords + word * slots + slot] ?? 0);
  const meta = raw.pop() ?? 0;
  const keyBits = keyBitsOf(format, D);
  const keyWords = Math.ceil(keyBits.reduce((sum, bits) => sum + bits, 0) / 32);
  const valueWords = (D * valueBits) / 32;
  const scales = raw.slice(keyWords + valueWords);
  const rawKey = keyBits[0] === 16;
  const shared = (format.basis === "klt" || keyBits[0] === 2) && valueBits <= 2;
  const keyScale = rawKey ? 0 : (scales[0] ?? 0);
  const valueScale = shared ? (scales[0] ?? 0) >>> 16 : (scales[rawKey ? 0 : 1] ?? 0);
  const keyPart = raw.slice(0, keyWords);
  const valuePart = raw.slice(keyWords, keyWords + valueWords);
  return {
    position: meta & 0x7ffff,
    format: formatIndex,
    importance: 2 ** ((meta >>> 20) / 128 - 28),
    held: ((meta >>> 19) & 1) === 1,
    raw,
    // Decoded when asked for: the rotation by its definition is slow.
    get keyCoded() {
      return codedPart(keyPart, keyBits, keyScale);
    },
    get valueCoded() {
      return codedPart(valuePart, Array<number>(D).fill(valueBits), valueScale);
    },
    get key() {
      const mean = meansOf(words, layer, head)[0];
      if (format.basis === "klt") return restoreKlt(this.keyCoded, format.keyGroups, mean, foldedOf(words, layer, head));
      return rawKey ? pairs(keyPart, 0, 1, D / 2) : restore(this.keyCoded, mean);
    },
    get value() {
      return valueBits === 16 ? pairs(valuePart, 0, 1, D / 2) : restore(this.valueCoded, meansOf(words, layer, head)[1]);
    },
  };
}

/** Key, then value: a mask of one bit a channel, then the codes of the channels whose bits are set; then a word of scale and zero each. */
function readSparse(words: CacheWords, layer: number, head: number, formatIndex: number, page: number, slot: number): StoredSlot {
  const { plan, policy, pool } = words;
  const format = policy.formats[formatIndex];
  if (format?.basis !== "none") throw new Error(`Format ${formatIndex} is not sparse.`);
  const D = plan.shape.headSize;
  const slots = plan.layout.slotsPerPage[formatIndex] ?? 1;
  const raw = Array.from({ length: plan.layout.slotWords[formatIndex] ?? 1 }, (_, word) => pool[page * plan.layout.pageWords + word * slots + slot] ?? 0);
  const meta = raw.pop() ?? 0;
  const [mask, channels] = [D / 32, D * format.kept];
  const part = (at: number, bits: number, scaleWord: number): SparseCoded => {
    const kept = Array.from({ length: D }, (_, c) => c).filter((c) => ((raw[at + Math.floor(c / 32)] ?? 0) >>> (c % 32)) & 1);
    if (kept.length !== channels) throw new Error(`${kept.length} channels under a mask of ${channels}.`);
    const coded = codedPart(raw.slice(at + mask), Array<number>(channels).fill(bits), scaleWord);
    return { ...coded, kept };
  };
  const value = mask + (channels * format.keyBits) / 32;
  const end = value + mask + (channels * format.valueBits) / 32;
  const [keyCoded, valueCoded] = [part(0, format.keyBits, raw[end] ?? 0), part(value, format.valueBits, raw[end + 1] ?? 0)];
  const means = meansOf(words, layer, head);
  const restored = (coded: SparseCoded, mean: Float64Array): Float64Array => decodeSparse(coded, D).map((x, c) => x + (mean[c] ?? Number.NaN));
  return {
    position: meta & 0x7ffff,
    format: formatIndex,
    importance: 2 ** ((meta >>> 20) / 128 - 28),
    held: ((meta >>> 19) & 1) === 1,
    raw,
    keyCoded,
    valueCoded,
    key: restored(keyCoded, means[0]),
    value: restored(valueCoded, means[1]),
  };
}

const NOT_CODED: Coded = { codes: new Uint8Array(), scale: Number.NaN, zero: Number.NaN };

/** Bits of each channel of a key. */
function keyBitsOf(format: Format, D: number): number[] {
  return Array.from({ length: D }, (_, c) => (format.basis === "klt" ? (format.keyGroups[Math.floor((4 * c) / D)] ?? 0) : format.keyBits));
}

/** Codes one after the other, the first in the lowest bits; a channel of no bits is 0. */
function codedPart(words: readonly number[], bits: readonly number[], scaleWord: number): Coded {
  const [first = 0] = bits;
  if (first === 16) return NOT_CODED;
  let at = 0;
  const codes = Uint8Array.from(bits, (depth) => {
    const code = ((words[Math.floor(at / 32)] ?? 0) >>> (at % 32)) & (2 ** depth - 1);
    at += depth;
    return code;
  });
  const scale = fromHalf(scaleWord & 0xffff);
  return { codes, scale, zero: first < 4 ? -((2 ** first - 1) / 2) * scale : fromHalf(scaleWord >>> 16) };
}

function restoreKlt(coded: Coded, groups: readonly number[], mean: Float64Array, { queries }: Folded): Float64Array {
  return times(queries, decodeKlt(coded, groups), true).map((value, c) => value + (mean[c] ?? Number.NaN));
}

function restore(coded: Coded, mean: Float64Array): Float64Array {
  return hadamard(decode(coded)).map((value, c) => value + (mean[c] ?? Number.NaN));
}

function pairs(words: ArrayLike<number>, at: number, stride: number, count: number): Float64Array {
  return Float64Array.from({ length: 2 * count }, (_, c) => {
    const word = words[at + (c >> 1) * stride] ?? 0;
    return fromHalf(c & 1 ? word >>> 16 : word & 0xffff);
  });
}

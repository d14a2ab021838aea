// slots: a cache map as flat arrays, one number per (layer, head, token), and the questions the views ask of it. Pure.

import type { CacheMap, FormatName, MarkerSpan } from "../../src/engine-types";

export type Part = "key" | "value";

/** Bits of one slot by position; 0 where it was evicted. */
export interface Slots {
  readonly tokens: number;
  readonly layers: number;
  readonly heads: number;
  /** (layers, heads, tokens) bits of the key */
  readonly key: Float32Array;
  /** (layers, heads, tokens) bits of the value */
  readonly value: Float32Array;
  /** (tokens) 1 where the cold tier brought a token back: heads then hold it, in their pages or among their guests */
  readonly recalled: Uint8Array;
  /** (layers, heads, tokens) 1 for guests: pages do not hold these slots */
  readonly guests: Uint8Array;
  /** (layers, heads) what stands for evicted spans; empty where the policy has no markers */
  readonly markers: readonly (readonly MarkerSpan[])[];
}

/** What a rectangle of the map holds: how much of it is there, and in how many bits on average. */
export interface Share {
  readonly kept: number;
  readonly total: number;
  /** Mean bits of what is kept; 0 if nothing is. */
  readonly bits: number;
}

export function readSlots(map: CacheMap): Slots {
  const heads = Math.max(...map.layers.map((layer) => layer.heads.length));
  const size = map.layers.length * heads * map.tokens;
  const slots = {
    tokens: map.tokens,
    layers: map.layers.length,
    heads,
    key: new Float32Array(size),
    value: new Float32Array(size),
    recalled: new Uint8Array(map.tokens),
    guests: new Uint8Array(size),
    markers: map.layers.flatMap((layer) => Array.from({ length: heads }, (_, h) => layer.heads[h]?.markers ?? [])),
  };
  map.layers.forEach((layer, l) => {
    layer.heads.forEach((head, h) => {
      const row = (l * heads + h) * map.tokens;
      head.positions.forEach((position, i) => {
        const format = map.formats[head.format[i] ?? 0];
        if (!format || position >= map.tokens) return;
        slots.key[row + position] = keyBits(format);
        slots.value[row + position] = valueBits(format);
      });
      for (const position of head.guests ?? []) {
        if (position >= map.tokens) continue;
        slots.guests[row + position] = 1;
        slots.key[row + position] = slots.value[row + position] = GUEST_BITS;
      }
    });
  });
  for (const position of map.recalled ?? []) if (position < map.tokens) slots.recalled[position] = 1;
  return slots;
}

/** Of a guest, unless `recall.bits` says otherwise, which the page never does. */
const GUEST_BITS = 8;

/** Share of tokens [start, end) of one head, or of all heads of a layer, that is kept. */
export function shareOf(slots: Slots, part: Part, layer: number, head: number | undefined, start: number, end: number): Share {
  const [first, last] = head === undefined ? [0, slots.heads] : [head, head + 1];
  let kept = 0;
  let bits = 0;
  for (let h = first; h < last; h++) {
    const row = (layer * slots.heads + h) * slots.tokens;
    for (let i = row + start; i < row + Math.min(end, slots.tokens); i++) {
      const here = slots[part][i] ?? 0;
      if (here > 0) kept++;
      bits += here;
    }
  }
  return { kept, total: (last - first) * (Math.min(end, slots.tokens) - start), bits: kept > 0 ? bits / kept : 0 };
}

/** The same over all layers and heads, for one token: how much of the model still sees it. */
export function tokenShare(slots: Slots, part: Part, token: number): Share {
  let kept = 0;
  let bits = 0;
  for (let row = 0; row < slots.layers * slots.heads; row++) {
    const here = slots[part][row * slots.tokens + token] ?? 0;
    if (here > 0) kept++;
    bits += here;
  }
  return { kept, total: slots.layers * slots.heads, bits: kept > 0 ? bits / kept : 0 };
}

/** The part of a share that pages and ring hold, without guests; `guests` of its kept slots are guests. */
export function withoutGuests({ kept, total, bits }: Share, guests: number): Share {
  const held = kept - guests;
  return { kept: held, total, bits: held > 0 ? (kept * bits - guests * GUEST_BITS) / held : 0 };
}

/** How many slots of tokens [start, end), of one head or all heads of a layer, are guests. */
export function guestsIn({ guests, tokens, heads }: Slots, layer: number, head: number | undefined, start: number, end: number): number {
  const [first, last] = head === undefined ? [0, heads] : [head, head + 1];
  let count = 0;
  for (let h = first; h < last; h++) {
    const row = (layer * heads + h) * tokens;
    for (let i = row + start; i < row + Math.min(end, tokens); i++) count += guests[i] ?? 0;
  }
  return count;
}

/** How many of the tokens [start, end) the cold tier brought back. */
export function recalledIn({ recalled, tokens }: Slots, start: number, end: number): number {
  return recalled.subarray(start, Math.min(end, tokens)).reduce((sum, one) => sum + one, 0);
}

/** Stretches [start, end) of neighbours that were brought back, in order. */
export function recalledRuns({ recalled }: Slots): [number, number][] {
  const runs: [number, number][] = [];
  recalled.forEach((one, token) => {
    const last = runs.at(-1);
    if (!one) return;
    if (last?.[1] === token) last[1] = token + 1;
    else runs.push([token, token + 1]);
  });
  return runs;
}

/** Bits that have a colour (base.css), richest first. */
export const BIT_STEPS = [16, 8, 4, 3, 2, 1.5, 1] as const;

/** The palette's step nearest to a mean of bits, on a logarithmic scale. */
export function bitStep(bits: number): (typeof BIT_STEPS)[number] {
  return BIT_STEPS.reduce<(typeof BIT_STEPS)[number]>((best, step) => (Math.abs(Math.log2(step / bits)) < Math.abs(Math.log2(best / bits)) ? step : best), 16);
}

/** A step's colour in CSS; of 0 bits, the map's lines. */
export function bitColour(step: (typeof BIT_STEPS)[number] | 0): string {
  return step === 0 ? "var(--rule)" : `var(--bits-${String(step).replace(".", "-")})`;
}

/** Smallest power of two of tokens per column that leaves every column at least `minWidth` pixels. */
export function tokensPerColumn(tokens: number, width: number, minWidth = 2): number {
  let each = 1;
  while (Math.ceil(tokens / each) * minWidth > width) each *= 2;
  return each;
}

export function keyBits(format: FormatName): number {
  return Number(/^k([\d.]+)v/.exec(format)?.[1] ?? 0);
}

export function valueBits(format: FormatName): number {
  return Number(/v(\d+)/.exec(format)?.[1] ?? 0);
}

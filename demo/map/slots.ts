// slots: a cache map as flat arrays, one number per (layer, head, token), and the questions the views ask of it. Pure.

import type { CacheMap, FormatName } from "../../src/engine-types";

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
  const slots = { tokens: map.tokens, layers: map.layers.length, heads, key: new Float32Array(size), value: new Float32Array(size) };
  map.layers.forEach((layer, l) => {
    layer.heads.forEach((head, h) => {
      const row = (l * heads + h) * map.tokens;
      head.positions.forEach((position, i) => {
        const format = map.formats[head.format[i] ?? 0];
        if (!format || position >= map.tokens) return;
        slots.key[row + position] = keyBits(format);
        slots.value[row + position] = valueBits(format);
      });
    });
  });
  return slots;
}

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

// formats: how a slot is encoded, as data. One source for byte counts, shaders, tests and the page.

import type { FormatName } from "../engine-types";

export type Bits = 16 | 8 | 4 | 2;

export interface Format {
  readonly name: FormatName;
  readonly keyBits: Bits;
  readonly valueBits: Bits;
}

/** Every format, by falling bytes. */
export const FORMATS: readonly Format[] = [
  { name: "k16v16", keyBits: 16, valueBits: 16 },
  { name: "k8v8", keyBits: 8, valueBits: 8 },
  { name: "k8v4", keyBits: 8, valueBits: 4 },
  { name: "k4v4", keyBits: 4, valueBits: 4 },
  { name: "k4v2", keyBits: 4, valueBits: 2 },
  { name: "k2v2", keyBits: 2, valueBits: 2 },
];

export function formatByName(name: FormatName): Format {
  const format = FORMATS.find((candidate) => candidate.name === name);
  if (!format) throw new TypeError(`Unknown format ${name}. Known: ${FORMATS.map((known) => known.name).join(", ")}.`);
  return format;
}

/**
 * Relative squared error of a rotated vector after rounding, by bits (methods.md 10.3: measured on SmolLM2).
 * 16 bits is the cache's own precision: its error counts as none.
 */
export const RELATIVE_ERROR: Readonly<Record<Bits, number>> = { 16: 0, 8: 3e-5, 4: 0.0075, 2: 0.133 };

/** Words of scales: (scale, zero) as two f16 at 8 and 4 bits, a scale alone at 2; two lone scales share a word; 16 bits has none. */
export function scaleWords({ keyBits, valueBits }: Format): number {
  if (keyBits === 2 && valueBits === 2) return 1;
  return (keyBits === 16 ? 0 : 1) + (valueBits === 16 ? 0 : 1);
}

/** 32-bit words of one slot: key codes, value codes, scales, and one word of position and importance. */
export function slotWords(format: Format, headSize: number): number {
  return (headSize * (format.keyBits + format.valueBits)) / 32 + scaleWords(format) + 1;
}

// formats: how a slot is encoded, as data. One source for byte counts, shaders, tests and the page.

import type { FormatName } from "../engine-types";
import { EngineError } from "../errors";
import type { Calibration } from "../policy/calibration";

/** Bits that a vector coded in a Hadamard basis may have a channel. */
export type Bits = 16 | 8 | 4 | 2 | 1;

/** Bits of a calibrated key's four equal groups of channels, by falling variance; a group of 0 bits is not stored. 4 bits come before 2. */
export type GroupBits = readonly [4 | 2 | 0, 4 | 2 | 0, 4 | 2 | 0, 4 | 2 | 0];

interface Common {
  readonly name: FormatName;
  /** Values are coded in a Hadamard basis, but for sparse formats. */
  readonly valueBits: Bits;
}

/**
 * The basis that keys are coded in. "hadamard" needs nothing but the cache's own mean; 16 bits are neither centred nor rotated.
 * "klt" is the query-aware basis of a calibration (methods.md 10.1): four groups of channels, each in its own bits.
 * "none" are sparse formats (AGACC 2.4.2): keys and values less their means, not rotated, of which the largest channels alone are stored, under a
 * mask of one bit a channel; the others stand at the mean. Rotation would spread what is large over all channels.
 */
export type Format =
  | (Common & { readonly basis: "hadamard"; readonly keyBits: Bits })
  | (Common & { readonly basis: "klt"; readonly keyBits: number; readonly keyGroups: GroupBits }) // keyBits: a channel, on average
  | (Common & { readonly basis: "none"; readonly keyBits: 8 | 4; readonly kept: Kept });

/** Part of its channels that a sparse slot stores. */
export type Kept = 0.5 | 0.25;

/** Formats that store every channel, by falling bytes; of two with the same, the better first. What a calibration measures. */
export const FORMATS: readonly Format[] = [
  { name: "k16v16", basis: "hadamard", keyBits: 16, valueBits: 16 },
  { name: "k8v8", basis: "hadamard", keyBits: 8, valueBits: 8 },
  { name: "k8v4", basis: "hadamard", keyBits: 8, valueBits: 4 },
  { name: "k4v4", basis: "hadamard", keyBits: 4, valueBits: 4 },
  { name: "k4v2", basis: "hadamard", keyBits: 4, valueBits: 2 },
  { name: "k3v2", basis: "klt", keyBits: 3, keyGroups: [4, 4, 2, 2], valueBits: 2 },
  { name: "k2v2-klt", basis: "klt", keyBits: 2, keyGroups: [4, 2, 2, 0], valueBits: 2 },
  { name: "k2v2", basis: "hadamard", keyBits: 2, valueBits: 2 },
  { name: "k1.5v2", basis: "klt", keyBits: 1.5, keyGroups: [4, 2, 0, 0], valueBits: 2 },
  { name: "k1.5v1", basis: "klt", keyBits: 1.5, keyGroups: [4, 2, 0, 0], valueBits: 1 },
];

/** Sparse formats, by falling bytes. There are none of two bits: the mask costs what the channels save. */
export const SPARSE_FORMATS: readonly Format[] = [
  { name: "k8v8-half", basis: "none", keyBits: 8, valueBits: 8, kept: 0.5 },
  { name: "k8v8-quarter", basis: "none", keyBits: 8, valueBits: 8, kept: 0.25 },
  { name: "k4v4-half", basis: "none", keyBits: 4, valueBits: 4, kept: 0.5 },
  { name: "k4v4-quarter", basis: "none", keyBits: 4, valueBits: 4, kept: 0.25 },
];

/** Every format there is, by falling bytes. */
export const ALL_FORMATS: readonly Format[] = [...FORMATS, ...SPARSE_FORMATS].sort((a, b) => slotWords(b, 128) - slotWords(a, 128));

/** Formats one policy may have at most: room in the shaders. */
export const MOST_FORMATS = 10;

export function formatByName(name: FormatName): Format {
  const format = ALL_FORMATS.find((candidate) => candidate.name === name);
  if (!format) throw new TypeError(`Unknown format ${name}. Known: ${ALL_FORMATS.map((known) => known.name).join(", ")}.`);
  return format;
}

/**
 * Relative squared error of a rotated vector after rounding, by bits (methods.md 10.3: measured on SmolLM2). One bit: pi / 2 - 1, a Gaussian's
 * sign under the scale that keeps its product with itself (.363 under the one of least error, which shrinks the vector by a third).
 * 16 bits is the cache's own precision: its error counts as none.
 */
export const RELATIVE_ERROR: Readonly<Record<Bits, number>> = { 16: 0, 8: 3e-5, 4: 0.0075, 2: 0.133, 1: 0.571 };

/** Relative squared error of a vector whose smaller channels are left out, as if its channels were Gaussian: 1 - 2 (z phi(z) + Q(z)), Q(z) = kept / 2. */
export const PRUNED_ERROR: Readonly<Record<Kept, number>> = { 0.5: 0.0713, 0.25: 0.2768 };

/**
 * Squared error of a format's keys and values over |x - mean|^2, for a whole model: the calibration's mean over layers and heads, else the table's.
 * Throws BAD_OPTION for a format that needs a calibration, or one that the calibration did not measure.
 */
export function relativeErrors(format: Format, calibration?: Calibration): { readonly key: number; readonly value: number } {
  if (format.basis === "none") return { key: PRUNED_ERROR[format.kept], value: PRUNED_ERROR[format.kept] };
  if (!calibration) {
    if (format.basis === "klt") throw needsCalibration(format, "none was given");
    return { key: RELATIVE_ERROR[format.keyBits], value: RELATIVE_ERROR[format.valueBits] };
  }
  if (format.name === "k16v16") return { key: 0, value: 0 };
  const measured = calibration.errors.find((candidate) => candidate.format === format.name);
  if (!measured) throw needsCalibration(format, "this one has not measured it");
  const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return { key: mean(measured.key), value: mean(measured.value) };
}

/** Words of a key's codes, and of a value's; a sparse one's mask counts with them. */
export function keyWords(format: Format, headSize: number): number {
  return vectorWords(format, format.keyBits, headSize);
}

export function valueWords(format: Format, headSize: number): number {
  return vectorWords(format, format.valueBits, headSize);
}

/** Channels that a sparse format stores of every vector. */
export function keptChannels(kept: Kept, headSize: number): number {
  return Math.floor(kept * headSize);
}

/** True for formats that pinned slots may have: every channel in 8 bits at least. */
export function isFloor({ basis, keyBits, valueBits }: Format): boolean {
  return basis !== "none" && keyBits >= 8 && valueBits >= 8;
}

/** Words of scales: (scale, zero) as two f16 at 8 and 4 bits, a scale alone at 2, 1 and for calibrated keys; two lone scales share a word; 16 bits has none. */
export function scaleWords(format: Format): number {
  if (sharesScales(format)) return 1;
  return (format.keyBits === 16 ? 0 : 1) + (format.valueBits === 16 ? 0 : 1);
}

/** True where the scales of key and value share a word, the key's in its lower half. */
export function sharesScales({ keyBits, valueBits }: Format): boolean {
  return keyBits < 4 && valueBits < 4; // calibrated keys have at most 3 bits
}

/** 32-bit words of one slot: key codes, value codes, scales, and one word of position and importance. */
export function slotWords(format: Format, headSize: number): number {
  return keyWords(format, headSize) + valueWords(format, headSize) + scaleWords(format) + 1;
}

function vectorWords(format: Format, bits: number, headSize: number): number {
  if (format.basis !== "none") return Math.ceil((headSize * bits) / 32);
  return Math.ceil(headSize / 32) + Math.ceil((keptChannels(format.kept, headSize) * bits) / 32);
}

function needsCalibration({ name }: Format, why: string): EngineError {
  return new EngineError("BAD_OPTION", `Format ${name} needs a calibration of the model, ${why}. Calibrate the model, or use a format without.`, {
    field: "precision.formats",
    found: name,
  });
}

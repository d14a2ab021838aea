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
  /** Values are always coded in a Hadamard basis. */
  readonly valueBits: Bits;
}

/**
 * The basis that keys are coded in. "hadamard" needs nothing but the cache's own mean; 16 bits are neither centred nor rotated.
 * "klt" is the query-aware basis of a calibration (methods.md 10.1): four groups of channels, each in its own bits.
 */
export type Format =
  | (Common & { readonly basis: "hadamard"; readonly keyBits: Bits })
  | (Common & { readonly basis: "klt"; readonly keyBits: number; readonly keyGroups: GroupBits }); // keyBits: a channel, on average

/** Every format, by falling bytes; of two with the same, the better first. */
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

export function formatByName(name: FormatName): Format {
  const format = FORMATS.find((candidate) => candidate.name === name);
  if (!format) throw new TypeError(`Unknown format ${name}. Known: ${FORMATS.map((known) => known.name).join(", ")}.`);
  return format;
}

/**
 * Relative squared error of a rotated vector after rounding, by bits (methods.md 10.3: measured on SmolLM2). One bit: pi / 2 - 1, a Gaussian's
 * sign under the scale that keeps its product with itself (.363 under the one of least error, which shrinks the vector by a third).
 * 16 bits is the cache's own precision: its error counts as none.
 */
export const RELATIVE_ERROR: Readonly<Record<Bits, number>> = { 16: 0, 8: 3e-5, 4: 0.0075, 2: 0.133, 1: 0.571 };

/**
 * Squared error of a format's keys and values over |x - mean|^2, for a whole model: the calibration's mean over layers and heads, else the table's.
 * Throws BAD_OPTION for a format that needs a calibration, or one that the calibration did not measure.
 */
export function relativeErrors(format: Format, calibration?: Calibration): { readonly key: number; readonly value: number } {
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

/** Words of a key's codes, and of a value's. */
export function keyWords({ keyBits }: Format, headSize: number): number {
  return Math.ceil((headSize * keyBits) / 32);
}

export function valueWords({ valueBits }: Format, headSize: number): number {
  return Math.ceil((headSize * valueBits) / 32);
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

function needsCalibration({ name }: Format, why: string): EngineError {
  return new EngineError("BAD_OPTION", `Format ${name} needs a calibration of the model, ${why}. Calibrate the model, or use a format without.`, {
    field: "precision.formats",
    found: name,
  });
}

// file: a calibration as bytes and back. Bases are f16, covariances correlations of 8 bits: a file is about as large as one layer of weights.
// Layout: magic, version (u32), length of the header (u32), the header as JSON padded to 4 bytes, then the arrays one after the other, each
// padded to 4 bytes. Little-endian. The queries' basis is not stored: it is the inverse of the keys'.

import type { FormatName } from "../engine-types";
import { EngineError } from "../errors";
import { float16Bits, float16Value } from "../load/float16";
import type { Calibration } from "../policy/calibration";
import { queryBasisOf } from "./statistics";

const MAGIC = "LacunaKV";
export const VERSION = 1;

type Kind = "f16" | "f32" | "i8";

interface Header {
  readonly model: string;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly shares: Calibration["shares"];
  readonly formats: readonly FormatName[];
  readonly keyFloor?: FormatName;
}

export function encodeCalibration(calibration: Calibration): Uint8Array<ArrayBuffer> {
  const { model, layers, heads, kvHeads, headSize, shares, errors, keyFloor } = calibration;
  const header: Header = { model, layers, heads, kvHeads, headSize, shares, formats: errors.map(({ format }) => format), ...(keyFloor && { keyFloor }) };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const arrays = arraysOf(calibration);
  const start = padded(FIXED + json.length);
  const bytes = new Uint8Array(layoutOf(header).reduce((at, { kind, length }) => at + padded(length * SIZE[kind]), start));
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(MAGIC));
  view.setUint32(MAGIC.length, VERSION, true);
  view.setUint32(MAGIC.length + 4, json.length, true);
  bytes.set(json, FIXED);
  let at = start;
  for (const { name, kind, length } of layoutOf(header)) {
    const values = arrays[name];
    if (values?.length !== length) throw new EngineError("INTERNAL", `A calibration's ${name} has ${values?.length} numbers, expected ${length}.`);
    WRITE[kind](view, at, values);
    at += padded(length * SIZE[kind]);
  }
  return bytes;
}

/**
 * @param model SHA-256 of the model's file that the calibration is wanted for
 * Throws NOT_CALIBRATION (another kind of file, or another version), TRUNCATED, and HASH_MISMATCH for another model's.
 */
export function decodeCalibration(bytes: Uint8Array<ArrayBuffer>, model: string): Calibration {
  const { header, start } = checkCalibration(bytes, model);
  const layout = layoutOf(header);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const arrays: Record<string, Float32Array> = {};
  let at = start;
  for (const { name, kind, length } of layout) {
    arrays[name] = READ[kind](view, at, length);
    at += padded(length * SIZE[kind]);
  }
  return calibrationOf(header, (name) => arrays[name] ?? new Float32Array());
}

/** Throws what decodeCalibration does, and decodes nothing; without a model the calibration may be any one's. */
export function checkCalibration(bytes: Uint8Array, model?: string): { readonly header: Header; readonly start: number } {
  const { header, start } = readHeader(bytes);
  if (model !== undefined && header.model !== model)
    throw new EngineError(
      "HASH_MISMATCH",
      `The calibration is of the model with SHA-256 ${header.model}, expected ${model}. Make one of this model: npm run calibrate.`,
      { found: header.model, expected: model },
    );
  const end = layoutOf(header).reduce((at, { kind, length }) => at + padded(length * SIZE[kind]), start);
  if (bytes.length < end) throw truncated(bytes.length, end);
  return { header, start };
}

function readHeader(bytes: Uint8Array): { readonly header: Header; readonly start: number } {
  const text = new TextDecoder();
  const magic = text.decode(bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC)
    throw new EngineError("NOT_CALIBRATION", `The file begins with ${JSON.stringify(magic)}, a calibration with "${MAGIC}". Make one: npm run calibrate.`, {
      found: magic,
      expected: MAGIC,
    });
  if (bytes.length < FIXED) throw truncated(bytes.length, FIXED);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(MAGIC.length, true);
  if (version !== VERSION)
    throw new EngineError("NOT_CALIBRATION", `The calibration is of version ${version}, this engine reads ${VERSION}. Make it again: npm run calibrate.`, {
      found: version,
      expected: VERSION,
    });
  const length = view.getUint32(MAGIC.length + 4, true);
  if (bytes.length < FIXED + length) throw truncated(bytes.length, FIXED + length);
  try {
    return { header: JSON.parse(text.decode(bytes.subarray(FIXED, FIXED + length))) as Header, start: padded(FIXED + length) };
  } catch (cause) {
    throw new EngineError("NOT_CALIBRATION", "The calibration's header is no JSON: the file is damaged. Make it again: npm run calibrate.", {}, { cause });
  }
}

/** Arrays in the order of the file. Diagonals of the queries' covariances as deviations, what is below as correlations in 127ths. */
function layoutOf({
  layers: L,
  heads: H,
  kvHeads: G,
  headSize: D,
  formats,
}: Header): readonly { readonly name: string; readonly kind: Kind; readonly length: number }[] {
  return [
    { name: "keyMeans", kind: "f16", length: L * G * D },
    { name: "valueMeans", kind: "f16", length: L * G * D },
    { name: "keyBasis", kind: "f16", length: L * G * D * D },
    { name: "groupScales", kind: "f32", length: L * G * 4 },
    { name: "errors", kind: "f32", length: formats.length * 2 * L * G },
    { name: "residualPower", kind: "f32", length: L },
    { name: "sensitivity", kind: "f32", length: L },
    { name: "queryMean", kind: "f16", length: L * H * D },
    { name: "queryDeviation", kind: "f16", length: L * H * D },
    { name: "queryCorrelation", kind: "i8", length: (L * H * D * (D - 1)) / 2 },
    { name: "queryDirection", kind: "f16", length: L * G * D },
  ];
}

function arraysOf(calibration: Calibration): Readonly<Record<string, ArrayLike<number>>> {
  const { errors, queryCovariance, headSize: D } = calibration;
  const deviation = Float32Array.from({ length: queryCovariance.length / D }, (_, n) => Math.sqrt(queryCovariance[n * D + (n % D)] ?? 0));
  const correlation = triangle(queryCovariance, D, (value, i, j) => value / ((deviation[i] ?? 0) * (deviation[j] ?? 0) || 1));
  return {
    ...(calibration as unknown as Readonly<Record<string, ArrayLike<number>>>),
    errors: errors.flatMap(({ key, value }) => [...key, ...value]),
    queryDeviation: deviation,
    queryCorrelation: correlation,
  };
}

function calibrationOf({ shares, formats, ...dims }: Header, array: (name: string) => Float32Array): Calibration {
  const heads = dims.layers * dims.kvHeads;
  const errors = array("errors");
  return {
    ...dims,
    shares,
    keyMeans: array("keyMeans"),
    valueMeans: array("valueMeans"),
    keyBasis: array("keyBasis"),
    queryBasis: queryBases(array("keyBasis"), dims.headSize),
    groupScales: array("groupScales"),
    errors: formats.map((format, n) => ({
      format,
      key: errors.slice(2 * n * heads, (2 * n + 1) * heads),
      value: errors.slice((2 * n + 1) * heads, (2 * n + 2) * heads),
    })),
    residualPower: array("residualPower"),
    sensitivity: array("sensitivity"),
    queryMean: array("queryMean"),
    queryCovariance: covariances(array("queryDeviation"), array("queryCorrelation"), dims.headSize),
    queryDirection: array("queryDirection"),
  };
}

function queryBases(keyBasis: Float32Array, D: number): Float32Array {
  const bases = new Float32Array(keyBasis.length);
  for (let at = 0; at < keyBasis.length; at += D * D) bases.set(queryBasisOf(Float64Array.from(keyBasis.subarray(at, at + D * D)), D), at);
  return bases;
}

/** What is below the diagonals of (n, D, D), row by row. @param map of the value, and of the rows that its row and column are among all (n D) */
function triangle(matrices: Float32Array, D: number, map: (value: number, i: number, j: number) => number): Float32Array {
  const below = new Float32Array((matrices.length / D) * ((D - 1) / 2));
  let at = 0;
  for (let first = 0; first < matrices.length / D; first += D)
    for (let i = 1; i < D; i++) for (let j = 0; j < i; j++) below[at++] = map(matrices[(first + i) * D + j] ?? 0, first + i, first + j);
  return below;
}

function covariances(deviation: Float32Array, correlation: Float32Array, D: number): Float32Array {
  const matrices = new Float32Array(deviation.length * D);
  let at = 0;
  for (let first = 0; first < deviation.length; first += D)
    for (let i = 0; i < D; i++) {
      const own = deviation[first + i] ?? 0;
      matrices[(first + i) * D + i] = own * own;
      for (let j = 0; j < i; j++) {
        const value = (correlation[at++] ?? 0) * own * (deviation[first + j] ?? 0);
        matrices[(first + i) * D + j] = value;
        matrices[(first + j) * D + i] = value;
      }
    }
  return matrices;
}

const FIXED = MAGIC.length + 8;
const SIZE: Readonly<Record<Kind, number>> = { f16: 2, f32: 4, i8: 1 };

const WRITE: Readonly<Record<Kind, (view: DataView, at: number, values: ArrayLike<number>) => void>> = {
  f16: (view, at, values) => each(values, (value, n) => view.setUint16(at + 2 * n, float16Bits(value), true)),
  f32: (view, at, values) => each(values, (value, n) => view.setFloat32(at + 4 * n, value, true)),
  i8: (view, at, values) => each(values, (value, n) => view.setInt8(at + n, Math.round(127 * Math.min(1, Math.max(-1, value))))),
};

const READ: Readonly<Record<Kind, (view: DataView, at: number, length: number) => Float32Array>> = {
  f16: (view, at, length) => Float32Array.from({ length }, (_, n) => float16Value(view.getUint16(at + 2 * n, true))),
  f32: (view, at, length) => Float32Array.from({ length }, (_, n) => view.getFloat32(at + 4 * n, true)),
  i8: (view, at, length) => Float32Array.from({ length }, (_, n) => view.getInt8(at + n) / 127),
};

function each(values: ArrayLike<number>, visit: (value: number, index: number) => void): void {
  for (let n = 0; n < values.length; n++) visit(values[n] as number, n);
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

function truncated(found: number, expected: number): EngineError {
  return new EngineError("TRUNCATED", `The calibration has ${found} bytes, expected ${expected}. Get it again, or make it: npm run calibrate.`, {
    found,
    expected,
  });
}

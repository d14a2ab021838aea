// at-load: the calibration that a load goes on with: the caller's own, one that is bundled or kept, else one measured now where that takes seconds.
// Leaves to others: where files are (find.ts), what is in them (file.ts), the measuring (calibrate.ts).

import type { LoadRequest } from "../engine-types";
import { EngineError, isEngineError } from "../errors";
import type { Runtime } from "../generate/runtime";
import type { Calibration } from "../policy/calibration";
import { calibrate } from "./calibrate";
import { checkCalibration, decodeCalibration } from "./file";
import { type CalibrationStore, findCalibration, keepCalibration, type ReadFile, unlessRefused } from "./find";

/** What a load has to go by. */
export interface CalibrationSources {
  /** The caller's own file. */
  readonly given: Uint8Array<ArrayBuffer> | undefined;
  readonly read: ReadFile;
  /** Where what is measured here is kept; undefined: nowhere. */
  readonly store: CalibrationStore | undefined;
}

/**
 * The bytes of a calibration that the caller gave, refused here as far as they can be: before anything is fetched.
 * @param sha256 of the model's file, where it is known by now. Throws BAD_OPTION, STORAGE, NOT_CALIBRATION, TRUNCATED, HASH_MISMATCH.
 */
export async function givenCalibration(given: LoadRequest["calibration"], sha256?: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (given === undefined || typeof given === "boolean") return undefined;
  if (!(given instanceof Uint8Array || given instanceof Blob))
    throw new EngineError("BAD_OPTION", `Option calibration is ${JSON.stringify(given)}. Allowed: the bytes of a file, a Blob, true, false.`, {
      field: "calibration",
      found: given,
    });
  const bytes = given instanceof Uint8Array ? given : await bytesOf(given);
  checkCalibration(bytes, sha256);
  return bytes;
}

/**
 * Where none was given, bundled or kept, hardware adapters measure now and keep it for the next load. A model runs without, too, so that of measuring
 * only an abort and a lost device end a load, and of storage nothing does. Throws HASH_MISMATCH, TRUNCATED or NOT_CALIBRATION if the file that was
 * given, or the bundled one, is not this model's or not whole.
 */
export async function calibrationAtLoad(runtime: Runtime, sha256: string, request: LoadRequest, sources: CalibrationSources): Promise<Calibration | undefined> {
  const { given, read, store } = sources;
  if (request.calibration === false) return undefined;
  if (given) return decodeCalibration(given, sha256);
  const known = await findCalibration(sha256, read, store);
  if (known || runtime.transformer.gpu.software) return known;
  const made = await measured(runtime, sha256, request);
  if (made && store) await unlessRefused(keepCalibration(made, store)); // it serves this load whether it is kept or not
  return made;
}

async function measured(runtime: Runtime, model: string, { signal, onProgress }: LoadRequest): Promise<Calibration | undefined> {
  try {
    return await calibrate(runtime, {
      model,
      ...(signal && { signal }),
      onProgress: ({ done, total }) => onProgress?.({ phase: "calibrate", done, total }),
    });
  } catch (error) {
    if (!isEngineError(error) || error.code === "ABORTED" || error.code === "DEVICE_LOST") throw error;
    return undefined;
  }
}

async function bytesOf(blob: Blob): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (cause) {
    throw new EngineError("STORAGE", `The calibration could not be read: ${String(cause)}. Choose the file again.`, { field: "calibration" }, { cause });
  }
}

// find: a model's calibration, wherever there is one: bundled with the engine, or made at an earlier load and kept in the page's storage.
// Leaves to others: making one (calibrate.ts), bytes (file.ts). Never a reason to fail a load: what cannot be read is not there.

import { calibrations } from "../../models/calibrations/list";
import { type ChunkStore, openChunkStore } from "../load/chunk-store";
import type { Calibration } from "../policy/calibration";
import { decodeCalibration, encodeCalibration } from "./file";

/** Path of the bundled calibration of the model with this SHA-256, from the folder that holds models/; undefined if there is none. */
export function bundledCalibration(sha256: string): string | undefined {
  return calibrations.find((entry) => entry.model === sha256)?.path;
}

/** A file's bytes by its path from the folder that holds models/; undefined if they cannot be had. */
export type ReadFile = (path: string) => Promise<Uint8Array<ArrayBuffer> | undefined>;

/**
 * The calibration of a model: bundled, else kept by this page. Throws HASH_MISMATCH, TRUNCATED or NOT_CALIBRATION if a bundled file is not
 * what it should be; a kept one that is not is removed.
 * @param store where the page keeps them; none in Node
 */
export async function findCalibration(sha256: string, read: ReadFile, store?: ChunkStore): Promise<Calibration | undefined> {
  const path = bundledCalibration(sha256);
  const bytes = path === undefined ? undefined : await read(path);
  if (bytes) return decodeCalibration(bytes, sha256);
  return store && keptCalibration(sha256, store);
}

/** Keeps a calibration for the next load. Throws STORAGE. */
export async function keepCalibration(calibration: Calibration, store: ChunkStore): Promise<void> {
  const name = keptName(calibration.model);
  await store.delete(name);
  await store.put(name, 0, encodeCalibration(calibration));
  await store.complete(name);
}

/** Reads files that lie beside the page. @param base the page's address */
export function pageFiles(base: string): ReadFile {
  return async (path) => {
    const response = await fetch(new URL(path, base)).catch(() => undefined);
    return response?.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
  };
}

/** The page's storage, or undefined where it has none: then every load measures again. */
export async function calibrationStore(): Promise<ChunkStore | undefined> {
  return openChunkStore().catch(() => undefined);
}

async function keptCalibration(sha256: string, store: ChunkStore): Promise<Calibration | undefined> {
  const name = keptName(sha256);
  if (!(await store.isComplete(name))) return undefined;
  try {
    return decodeCalibration(new Uint8Array(await new Blob(await store.chunks(name)).arrayBuffer()), sha256);
  } catch {
    await store.delete(name); // of an older version, or cleared in part by the browser: it is made again
    return undefined;
  }
}

function keptName(sha256: string): string {
  return `calibration-${sha256.slice(0, 16)}`;
}

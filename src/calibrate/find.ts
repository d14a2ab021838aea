// find: a model's calibration, wherever there is one: bundled with the engine, or made here earlier and kept (in the page's storage, on disk in Node).
// Leaves to others: making one (calibrate.ts), bytes (file.ts), which one a load takes (at-load.ts).

import { calibrations } from "../../models/calibrations/list";
import { isEngineError } from "../errors";
import { type ChunkStore, openChunkStore } from "../load/chunk-store";
import type { Calibration } from "../policy/calibration";
import { decodeCalibration, encodeCalibration } from "./file";

/** Path of the bundled calibration of the model with this SHA-256, from the folder that holds models/; undefined if there is none. */
export function bundledCalibration(sha256: string): string | undefined {
  return calibrations.find((entry) => entry.model === sha256)?.path;
}

/** A file's bytes by its path from the folder that holds models/; undefined if they cannot be had. */
export type ReadFile = (path: string) => Promise<Uint8Array<ArrayBuffer> | undefined>;

/** Where calibrations made here are kept, by SHA-256 of the model's file. Every method throws STORAGE if it is refused. */
export interface CalibrationStore {
  get(sha256: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  put(sha256: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  delete(sha256: string): Promise<void>;
}

/**
 * The calibration of a model: bundled, else kept. Throws HASH_MISMATCH, TRUNCATED or NOT_CALIBRATION if a bundled file is not what it should be;
 * a kept one that is not is removed, and where storage refuses nothing is kept.
 */
export async function findCalibration(sha256: string, read: ReadFile, store?: CalibrationStore): Promise<Calibration | undefined> {
  const path = bundledCalibration(sha256);
  const bytes = path === undefined ? undefined : await read(path);
  if (bytes) return decodeCalibration(bytes, sha256);
  return store && unlessRefused(keptCalibration(sha256, store));
}

/** Keeps a calibration for the next load. Throws STORAGE. */
export async function keepCalibration(calibration: Calibration, store: CalibrationStore): Promise<void> {
  await store.put(calibration.model, encodeCalibration(calibration));
}

/** What storage gives, or undefined where it refuses: no reason to fail a load. */
export async function unlessRefused<Value>(act: Promise<Value>): Promise<Value | undefined> {
  return act.catch((error: unknown) => {
    if (isEngineError(error) && error.code === "STORAGE") return undefined;
    throw error;
  });
}

/**
 * Reads files that lie beside the page; a server that answers with its page instead, as those of single-page applications do, has none.
 * @param base the page's address
 */
export function pageFiles(base: string): ReadFile {
  return async (path) => {
    const address = new URL(path, base);
    try {
      const response = await fetch(address);
      const isFile = response.ok && !response.headers.get("Content-Type")?.startsWith("text/html");
      return isFile ? new Uint8Array(await response.arrayBuffer()) : undefined;
    } catch {
      return undefined; // no network, or it ended on the way
    }
  };
}

/** The page's storage, or undefined where it has none: then every load measures again. */
export async function pageStore(): Promise<CalibrationStore | undefined> {
  const chunks = await unlessRefused(openChunkStore());
  return chunks && chunkedStore(chunks);
}

/** Calibrations beside the model files that a page keeps: each a file of one chunk. */
export function chunkedStore(chunks: ChunkStore): CalibrationStore {
  const nameOf = (sha256: string): string => `calibration-${sha256.slice(0, 16)}`;
  return {
    async get(sha256) {
      const name = nameOf(sha256);
      return (await chunks.isComplete(name)) ? new Uint8Array(await new Blob(await chunks.chunks(name)).arrayBuffer()) : undefined;
    },
    async put(sha256, bytes) {
      const name = nameOf(sha256);
      await chunks.delete(name);
      await chunks.put(name, 0, bytes);
      await chunks.complete(name);
    },
    delete: (sha256) => chunks.delete(nameOf(sha256)),
  };
}

async function keptCalibration(sha256: string, store: CalibrationStore): Promise<Calibration | undefined> {
  try {
    const bytes = await store.get(sha256);
    return bytes && decodeCalibration(bytes, sha256);
  } catch (error) {
    if (isEngineError(error) && error.code === "STORAGE") throw error;
    await store.delete(sha256); // of an older version, or cleared in part by the browser: it is made again
    return undefined;
  }
}

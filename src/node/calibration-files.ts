// calibration-files: where Node keeps the calibrations made on this machine: beside the models it fetched, each under its model's hash.
// `npm run calibrate` and every load use them. Leaves to others: the bundled ones (models/calibrations), what is in a file (src/calibrate/file.ts).

import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundledCalibration, type CalibrationStore } from "../calibrate/find";
import { EngineError } from "../errors";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FOLDER = join(ROOT, "models", "cache");

/** Where a load looks for the calibration of the model with this SHA-256: the bundled file if there is one, else the kept one. */
export function calibrationPath(sha256: string): string {
  const bundled = bundledCalibration(sha256);
  return bundled === undefined ? keptPath(sha256) : join(ROOT, bundled);
}

/** Calibrations kept on disk. */
export function diskStore(folder = FOLDER): CalibrationStore {
  return {
    get: (sha256) => readCalibration(keptPath(sha256, folder)),
    put: (sha256, bytes) => writeCalibration(keptPath(sha256, folder), bytes),
    delete: (sha256) => onDisk(keptPath(sha256, folder), "removed", (path) => rm(path, { force: true })),
  };
}

/** The bytes of a file that the command line names. Throws STORAGE, also where there is none. */
export async function namedCalibration(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await onDisk(path, "read", (name) => readFile(name)));
}

/** Puts a whole file in place, so that a load beside it never reads half of one. Throws STORAGE. */
export async function writeCalibration(path: string, bytes: Uint8Array): Promise<void> {
  const part = `${path}.${process.pid}.part`;
  await onDisk(path, "written", async () => {
    await mkdir(dirname(path), { recursive: true });
    try {
      await writeFile(part, bytes);
      await rename(part, path);
    } catch (cause) {
      await rm(part, { force: true });
      throw cause;
    }
  });
}

/** A file's bytes, undefined if there is none. Throws STORAGE. */
async function readCalibration(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return namedCalibration(path).catch((error: EngineError) => {
    if (error.details.found === "ENOENT") return undefined;
    throw error;
  });
}

function keptPath(sha256: string, folder = FOLDER): string {
  return join(folder, `${sha256}.calibration`);
}

async function onDisk<Value>(path: string, done: string, act: (path: string) => Promise<Value>): Promise<Value> {
  try {
    return await act(path);
  } catch (cause) {
    const found = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new EngineError(
      "STORAGE",
      `${path} could not be ${done} (${found}). Check the path, its permissions and the disk's room.`,
      { path, found },
      { cause },
    );
  }
}

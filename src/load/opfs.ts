// opfs: a page's own storage (the origin private file system) as models and scratch files both use it, and what its refusals say.
// Leaves to others: what is kept there (chunk-store.ts, scratch-file.ts).

import { EngineError } from "../errors";

/** The root of the page's files; undefined where there is none, or it is denied (some private windows). */
export async function opfsRoot(): Promise<FileSystemDirectoryHandle | undefined> {
  if (typeof navigator === "undefined" || typeof navigator.storage?.getDirectory !== "function") return undefined;
  return navigator.storage.getDirectory().catch(() => undefined);
}

/** The result, or undefined where the entry does not exist. */
export async function ifThere<T>(promise: Promise<T>): Promise<T | undefined> {
  return promise.catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "NotFoundError") return undefined;
    throw error;
  });
}

/** What to do next: where the quota is full, and where storage refuses for another reason. */
export interface StorageActs {
  readonly full: string;
  readonly denied: string;
}

/** Whatever storage throws, as STORAGE. @param what was being done */
export function storageError(what: string, cause: unknown, acts: StorageActs): EngineError {
  const found = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  const full = cause instanceof Error && cause.name === "QuotaExceededError";
  return new EngineError(
    "STORAGE",
    `The browser's storage failed while ${what} (${found}). ${full ? acts.full : acts.denied}`,
    { what, found, full },
    {
      cause,
    },
  );
}

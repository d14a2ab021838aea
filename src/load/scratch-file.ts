// scratch-file: a file of the page's storage for as long as a worker uses it: read and written at once, without a promise, and deleted when it is closed.
// A lock is held on its name meanwhile; what a tab left that was closed or reloaded is locked by nobody, and deleted later.
// Leaves to others: what is written where (src/cold/value-file.ts).

import { EngineError } from "../errors";
import { opfsRoot, type StorageActs, storageError } from "./opfs";

/** Every method but close() throws STORAGE where the browser refuses. */
export interface ScratchFile {
  /** Its size. */
  readonly bytes: number;
  /** Fills `into` from `at` on. Throws STORAGE, too, where the file ends before. */
  read(into: Uint8Array, at: number): void;
  /** All of `from`, or it throws. */
  write(from: Uint8Array, at: number): void;
  truncate(bytes: number): void;
  /** Gives its bytes back at once; resolves when it is deleted. Twice is harmless. */
  close(): Promise<void>;
}

/** The part of FileSystemSyncAccessHandle that is used: only workers have it, so that the DOM's types leave it out. */
export interface SyncHandle {
  read(into: Uint8Array, options: { readonly at: number }): number;
  write(from: Uint8Array, options: { readonly at: number }): number;
  truncate(bytes: number): void;
  getSize(): number;
  close(): void;
}

type SyncFile = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncHandle> };

/** Whether this thread can have one: a worker of a page in a secure context. Node and a page's own thread cannot. */
export function hasScratchFiles(): boolean {
  return (
    typeof navigator !== "undefined" &&
    typeof navigator.storage?.getDirectory === "function" &&
    typeof FileSystemFileHandle !== "undefined" &&
    "createSyncAccessHandle" in FileSystemFileHandle.prototype
  );
}

/** A new, empty file. Throws STORAGE where there is no such storage, or the browser refuses. */
export async function openScratchFile(): Promise<ScratchFile> {
  const root = await opfsRoot();
  if (!root || !hasScratchFiles()) throw new EngineError("STORAGE", `This thread has no files of its own: OPFS is missing or denied. ${ACTS.denied}`);
  const name = crypto.randomUUID();
  const unlock = await lock(name); // before the file is there: nobody takes it for one that was left
  try {
    const folder = await root.getDirectoryHandle(FOLDER, { create: true });
    const file = (await folder.getFileHandle(name, { create: true })) as SyncFile;
    const handle = await file.createSyncAccessHandle().catch(async (error: unknown) => {
      await folder.removeEntry(name).catch(() => undefined);
      throw error;
    });
    return new OpfsFile(handle, () => folder.removeEntry(name).catch(() => undefined).finally(unlock)); // biome-ignore format: one line
  } catch (cause) {
    unlock();
    throw storageError("opening a file", cause, ACTS);
  }
}

/** Deletes what tabs left that are gone. Never throws: what cannot be deleted now is left for the next time. */
export async function sweepScratchFiles(): Promise<void> {
  const root = hasScratchFiles() ? await opfsRoot() : undefined;
  const folder = await root?.getDirectoryHandle(FOLDER).catch(() => undefined);
  if (!folder) return;
  const names: string[] = [];
  for await (const name of folder.keys()) names.push(name);
  for (const name of names)
    await navigator.locks
      .request(lockName(name), { ifAvailable: true }, async (free) => {
        if (free) await folder.removeEntry(name);
      })
      .catch(() => undefined); // another tab was quicker
}

const FOLDER = "lacuna-scratch";

const ACTS: StorageActs = {
  full: "The disk or the page's quota is full: free some space, or keep it in memory.",
  denied: "Allow this page to store data, or keep it in memory.",
};

class OpfsFile implements ScratchFile {
  #closing: Promise<void> | undefined;

  constructor(
    private readonly handle: SyncHandle,
    private readonly remove: () => Promise<void>,
  ) {}

  get bytes(): number {
    return this.#closing ? 0 : this.handle.getSize();
  }

  read(into: Uint8Array, at: number): void {
    stored("reading", () => {
      const read = this.handle.read(into, { at });
      if (read !== into.length) throw new Error(`${read} of ${into.length} bytes`);
    });
  }

  write(from: Uint8Array, at: number): void {
    stored("writing", () => {
      const written = this.handle.write(from, { at });
      // Chromium (156, profiles without a disk) does not throw where the quota is full: it returns 2^32 - 8, its number for no space.
      if (written !== from.length) throw new DOMException(`not all of ${from.length} bytes were written`, "QuotaExceededError");
    });
  }

  truncate(bytes: number): void {
    stored("making a file shorter", () => this.handle.truncate(bytes));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      this.handle.truncate(0);
    } catch {
      // deleting it gives the bytes back, too
    }
    this.handle.close();
    await this.remove();
  }
}

function stored<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw storageError(what, cause, ACTS);
  }
}

/** Resolves when the lock is held, with what releases it. The browser releases it when the worker ends, in whatever way. */
function lock(name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    navigator.locks.request(lockName(name), () => new Promise<void>((release) => resolve(release))).catch(reject);
  });
}

function lockName(file: string): string {
  return `${FOLDER}-${file}`;
}

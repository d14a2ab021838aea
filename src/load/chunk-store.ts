// chunk-store: where a page keeps model files: OPFS, or the Cache API where OPFS cannot be written. A file is a row of
// chunks, so that a broken download loses nothing, and a note beside them once it is complete and its hash was right.
// Leaves to others: what is downloaded and when (download.ts).

import { EngineError } from "../errors";
import { ifThere, opfsRoot, type StorageActs, storageError } from "./opfs";

/** Files as chunks. Every method throws STORAGE if the browser refuses. */
export interface ChunkStore {
  /** The chunks of a file in order; empty if there are none. */
  chunks(file: string): Promise<Blob[]>;
  /** Adds the chunk number `index`. */
  put(file: string, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Notes that the file is complete and verified. */
  complete(file: string): Promise<void>;
  isComplete(file: string): Promise<boolean>;
  delete(file: string): Promise<void>;
}

/** OPFS if this browser can write it, the Cache API otherwise. Throws STORAGE if neither is there. */
export async function openChunkStore(): Promise<ChunkStore> {
  // Safari before 26 has OPFS without createWritable. Delete the fallback when those are gone.
  const writable = typeof FileSystemFileHandle !== "undefined" && "createWritable" in FileSystemFileHandle.prototype;
  const root = writable ? await opfsRoot() : undefined;
  if (root) return opfsStore(root);
  if (typeof caches !== "undefined") return cacheStore(await stored("opening the cache", () => caches.open(FOLDER)));
  throw new EngineError(
    "STORAGE",
    "This browser offers no storage to the page (OPFS and the Cache API are missing or denied). Leave the private window, or open the model file from disk.",
  );
}

/** Chunks as files: lacuna-models/FILE/0, 1, 2, ... */
export function opfsStore(root: FileSystemDirectoryHandle): ChunkStore {
  const all = (): Promise<FileSystemDirectoryHandle> => root.getDirectoryHandle(FOLDER, { create: true });
  const folder = async (file: string): Promise<FileSystemDirectoryHandle> => (await all()).getDirectoryHandle(file, { create: true });
  const write = async (file: string, name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> => {
    const handle = await (await folder(file)).getFileHandle(name, { create: true });
    const stream = await handle.createWritable();
    try {
      await stream.write(bytes);
      await stream.close(); // until here the file keeps its old content, none
    } catch (error) {
      await stream.abort().catch(() => undefined);
      throw error;
    }
  };
  const read = async (file: string, name: string): Promise<File | undefined> => {
    const handle = await ifThere((await folder(file)).getFileHandle(name));
    const blob = await handle?.getFile();
    return blob && blob.size > 0 ? blob : undefined;
  };
  return {
    chunks: (file) => stored(`reading ${file}`, () => collect((index) => read(file, `${index}`))),
    put: (file, index, bytes) => stored(`writing ${file}`, () => write(file, `${index}`, bytes)),
    complete: (file) => stored(`writing ${file}`, () => write(file, COMPLETE, new Uint8Array([1]))),
    isComplete: (file) => stored(`reading ${file}`, async () => (await read(file, COMPLETE)) !== undefined),
    delete: (file) => stored(`deleting ${file}`, async () => void (await ifThere((await all()).removeEntry(file, { recursive: true })))),
  };
}

/** Chunks as answers to /FILE/0, 1, 2, ... that no server ever gave. */
export function cacheStore(cache: Cache): ChunkStore {
  const key = (file: string, name: string): string => `/${FOLDER}/${encodeURIComponent(file)}/${name}`;
  const read = async (file: string, name: string): Promise<Blob | undefined> => (await cache.match(key(file, name)))?.blob();
  const put = (file: string, name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> => cache.put(key(file, name), new Response(bytes));
  return {
    chunks: (file) => stored(`reading ${file}`, () => collect((index) => read(file, `${index}`))),
    put: (file, index, bytes) => stored(`writing ${file}`, () => put(file, `${index}`, bytes)),
    complete: (file) => stored(`writing ${file}`, () => put(file, COMPLETE, new Uint8Array([1]))),
    isComplete: (file) => stored(`reading ${file}`, async () => (await read(file, COMPLETE)) !== undefined),
    delete: (file) =>
      stored(`deleting ${file}`, async () => {
        await cache.delete(key(file, COMPLETE));
        for (let index = 0; await cache.delete(key(file, `${index}`)); index++);
      }),
  };
}

const FOLDER = "lacuna-models";
const COMPLETE = "complete";

async function collect(read: (index: number) => Promise<Blob | undefined>): Promise<Blob[]> {
  const blobs: Blob[] = [];
  for (let blob = await read(0); blob; blob = await read(blobs.length)) blobs.push(blob);
  return blobs;
}

const ACTS: StorageActs = {
  full: "The disk or the page's quota is full: free some space, then call again; what was stored is kept.",
  denied: "Allow this page to store data, or open the model file from disk.",
};

/** Runs a storage operation; whatever it throws becomes STORAGE. */
async function stored<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    throw storageError(what, cause, ACTS);
  }
}

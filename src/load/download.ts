// download: gets a catalogue's model into the page's storage: with progress, going on where it broke off, checked by hash,
// and from storage alone the next time. Leaves to others: how chunks are stored (chunk-store.ts), HTTP (http.ts).

import { type CatalogEntry, hubUrl } from "../../models/catalog";
import type { Progress } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import { type ByteSource, blobSource } from "./byte-source";
import { type ChunkStore, openChunkStore } from "./chunk-store";
import { createHasher, type Hasher, hashMismatch } from "./hash";
import { type HttpOptions, openStream } from "./http";

/** A file to have: what, how large, from where. */
export interface DownloadRequest {
  /** Name in the store; the same name is the same file. */
  readonly name: string;
  /** Tried in order. */
  readonly urls: readonly string[];
  readonly bytes: number;
  readonly sha256: string;
}

export interface DownloadOptions extends HttpOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
  /** Default: the browser's (openChunkStore). */
  readonly store?: ChunkStore;
  /** Times to go on after the network failed without having sent anything. Default 3, half a second apart and doubling. */
  readonly retries?: number;
  readonly retryMs?: number;
}

/**
 * The addresses a page can get a model from.
 * @param base the page's address: bundled files lie beside it
 * @param hub another hub than the public one
 */
export function downloadRequest(entry: CatalogEntry, base: string, hub?: string): DownloadRequest {
  const urls = entry.sources.flatMap((source) => {
    if (source.kind === "bundled") return [new URL(source.path, base).href];
    return source.kind === "hub" ? [hubUrl(source, hub)] : [];
  });
  // The hash in the name: a new version of a model never goes on from the chunks of an old one.
  return { name: `${entry.name}-${entry.sha256.slice(0, 16)}.gguf`, urls, bytes: entry.bytes, sha256: entry.sha256 };
}

/** The model from storage, downloading what is missing. Throws NETWORK, STORAGE, HASH_MISMATCH or ABORTED; what has arrived is kept, unless its hash is wrong. */
export async function download(request: DownloadRequest, options: DownloadOptions = {}): Promise<ByteSource> {
  const store = options.store ?? (await openChunkStore());
  return alone(request.name, async () => (await downloaded(request, store)) ?? (await downloadInto(store, request, options)));
}

/** The model if storage holds all of it; never uses the network. */
export async function downloaded(request: DownloadRequest, store?: ChunkStore): Promise<ByteSource | undefined> {
  const from = store ?? (await openChunkStore());
  if (!(await from.isComplete(request.name))) return undefined;
  const blob = new Blob(await from.chunks(request.name));
  if (blob.size === request.bytes) return blobSource(blob, request.name);
  await from.delete(request.name); // the browser has cleared a part of it
  return undefined;
}

/** Removes a model, whole or partial. */
export async function deleteDownload(request: DownloadRequest, store?: ChunkStore): Promise<void> {
  await (store ?? (await openChunkStore())).delete(request.name);
}

async function downloadInto(store: ChunkStore, request: DownloadRequest, options: DownloadOptions): Promise<ByteSource> {
  const file = await PartialFile.open(request, store, options);
  if (file.length < request.bytes) await checkSpace(request.bytes - file.length);
  await fetchRest(request, file, options);
  const found = file.digest();
  if (found !== request.sha256) {
    await store.delete(request.name);
    throw hashMismatch(request.name, found, request.sha256);
  }
  await store.complete(request.name);
  return blobSource(new Blob(await store.chunks(request.name)), request.name);
}

/** Two tabs that download the same model take turns; the second then finds it in storage. */
async function alone<T>(name: string, run: () => Promise<T>): Promise<T> {
  const locks = typeof navigator === "undefined" ? undefined : navigator.locks;
  return locks ? await locks.request(`lacuna-download-${name}`, run) : run();
}

const CHUNK_BYTES = 8 << 20;

/** What has arrived of a file: stored chunks, the chunk being filled, and the hash of all of it. */
class PartialFile {
  length = 0;
  #chunks = 0;
  #hasher: Hasher = createHasher();
  #filling = new Uint8Array(CHUNK_BYTES);
  #filled = 0;

  private constructor(
    private readonly request: DownloadRequest,
    private readonly store: ChunkStore,
  ) {}

  /** Takes up what an earlier download left, hashing it again. */
  static async open(request: DownloadRequest, store: ChunkStore, options: DownloadOptions): Promise<PartialFile> {
    const file = new PartialFile(request, store);
    for (const blob of await store.chunks(request.name)) {
      throwIfAborted(options.signal);
      file.#hasher.update(new Uint8Array(await blob.arrayBuffer()));
      file.#chunks++;
      file.length += blob.size;
      options.onProgress?.({ phase: "verify", done: file.length, total: request.bytes });
    }
    if (file.length > request.bytes) await file.restart();
    return file;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#hasher.update(bytes);
    this.length += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      const taken = bytes.subarray(at, at + CHUNK_BYTES - this.#filled);
      this.#filling.set(taken, this.#filled);
      this.#filled += taken.length;
      at += taken.length;
      if (this.#filled === CHUNK_BYTES) await this.flush();
    }
  }

  /** Stores the chunk being filled, however short. */
  async flush(): Promise<void> {
    if (this.#filled === 0) return;
    await this.store.put(this.request.name, this.#chunks, this.#filling.slice(0, this.#filled));
    this.#chunks++;
    this.#filled = 0;
  }

  async restart(): Promise<void> {
    await this.store.delete(this.request.name);
    this.#hasher = createHasher();
    this.length = this.#chunks = this.#filled = 0;
  }

  digest(): string {
    return this.#hasher.digest();
  }
}

/** Appends until the file has all its bytes. Whatever ends it, what has arrived is stored. */
async function fetchRest(request: DownloadRequest, file: PartialFile, options: DownloadOptions): Promise<void> {
  let failures: EngineError[] = [];
  let idle = 0;
  while (file.length < request.bytes) {
    const before = file.length;
    failures = [];
    for (const url of request.urls) {
      const failure = await fetchFrom(url, request, file, options);
      if (failure) failures.push(failure);
      if (file.length >= request.bytes) return;
    }
    idle = file.length > before ? 0 : idle + 1;
    if (failures.every(isFinal) || idle > (options.retries ?? 3)) break;
    await new Promise((resolve) => setTimeout(resolve, (options.retryMs ?? 500) * 2 ** idle));
    throwIfAborted(options.signal);
  }
  if (file.length >= request.bytes) return;
  const reasons = failures.map((failure) => failure.message).join(" ") || "No address is known for it.";
  throw new EngineError(
    "NETWORK",
    `${request.name}: ${file.length} of ${request.bytes} bytes arrived. ${reasons} Call again to go on from there, or open the model file from disk.`,
    {
      found: file.length,
      expected: request.bytes,
      urls: request.urls,
    },
  );
}

/** Reads from one address as far as it goes. Returns the network's failure; throws everything else. */
async function fetchFrom(url: string, request: DownloadRequest, file: PartialFile, options: DownloadOptions): Promise<EngineError | undefined> {
  try {
    const stream = await openStream(url, file.length, options);
    if (stream.total !== undefined && stream.total !== request.bytes) {
      stream.cancel();
      return new EngineError("NETWORK", `${url} offers ${stream.total} bytes, expected ${request.bytes}: another file.`, {
        url,
        found: stream.total,
        expected: request.bytes,
      });
    }
    if (stream.start === 0 && file.length > 0) await file.restart(); // a server without ranges sends the whole file again
    for await (const bytes of stream.chunks) {
      await file.append(bytes);
      options.onProgress?.({ phase: "download", done: file.length, total: request.bytes });
      throwIfAborted(options.signal);
      if (file.length > request.bytes) {
        await file.restart();
        return new EngineError("NETWORK", `${url} sent more than the expected ${request.bytes} bytes: another file.`, { url, expected: request.bytes });
      }
    }
    if (file.length < request.bytes) return new EngineError("NETWORK", `${url} closed the connection early.`, { url });
    return undefined;
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== "NETWORK") throw error;
    if (error.details.status === 416) await file.restart(); // what we have is longer than what the server has
    return error;
  } finally {
    await file.flush();
  }
}

/** True if asking again cannot help: the server refused, or has another file. */
function isFinal(failure: EngineError): boolean {
  const { status, expected } = failure.details;
  return expected !== undefined || (typeof status === "number" && status >= 400 && status < 500 && status !== 408 && status !== 416 && status !== 429);
}

/** Fails before the download rather than at its end, where the browser tells how much room there is. */
async function checkSpace(needed: number): Promise<void> {
  const estimate = typeof navigator === "undefined" ? undefined : await navigator.storage?.estimate?.().catch(() => undefined);
  if (estimate?.quota === undefined || estimate.usage === undefined) return;
  const free = estimate.quota - estimate.usage;
  if (free >= needed) return;
  throw new EngineError(
    "STORAGE",
    `The model needs ${needed} more bytes of the browser's storage, ${free} are free. Free some disk space or delete another model.`,
    { found: free, expected: needed },
  );
}

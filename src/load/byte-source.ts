// byte-source: random access to the bytes of a model, wherever they lie: a File, a URL that answers ranges, OPFS.
// Leaves to others: what the bytes mean (gguf.ts), files on disk under Node (src/node/file-source.ts), getting them (download.ts).

import { EngineError } from "../errors";
import { fetchRange, type HttpOptions, rangeTotal } from "./http";

/** Bytes by offset. `read` gives exactly `length` bytes or throws TRUNCATED, NETWORK, STORAGE or ABORTED. */
export interface ByteSource {
  readonly name: string;
  readonly size: number;
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
  close?(): Promise<void>;
}

/** A Blob, or a File dropped on the page. Reads slices; the browser keeps the rest on disk. */
export function blobSource(blob: Blob, name = blob instanceof File ? blob.name : "blob"): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(name, blob.size, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        // A File is a snapshot: the browser refuses to read it once the file on disk has changed or gone.
        throw new EngineError(
          "STORAGE",
          `${name} could not be read at byte ${offset}: ${String(cause)}. The file may have been moved or changed; choose it again.`,
          { name, offset },
          { cause },
        );
      }
    },
  };
}

/** A file of the origin private file system. */
export async function opfsSource(handle: FileSystemFileHandle): Promise<ByteSource> {
  try {
    return blobSource(await handle.getFile(), handle.name);
  } catch (cause) {
    throw new EngineError(
      "STORAGE",
      `${handle.name} could not be opened in the browser's storage: ${String(cause)}. Download the model again.`,
      { name: handle.name },
      { cause },
    );
  }
}

/** A URL read by HTTP ranges, without keeping anything. Throws NETWORK if the server refuses ranges or does not tell the size. */
export async function urlSource(url: string, options: HttpOptions & { signal?: AbortSignal } = {}): Promise<ByteSource> {
  const name = decodeURIComponent(new URL(url, "http://base.invalid/").pathname.split("/").at(-1) || url);
  const size = await rangeTotal(url, options);
  return {
    name,
    size,
    async read(offset, length, signal) {
      checkRange(name, size, offset, length);
      return fetchRange(url, offset, length, { ...options, ...(signal ? { signal } : {}) });
    },
  };
}

/** Throws TRUNCATED unless [offset, offset + length) lies inside the source. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= size) return;
  throw new EngineError("TRUNCATED", `${name} has ${size} bytes, bytes ${offset} to ${offset + length} were asked for. The file is incomplete; get it again.`, {
    name,
    found: size,
    expected: offset + length,
  });
}

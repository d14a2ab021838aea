// file-source: a model file on disk, read by offset. Node only; the browser has src/load/byte-source.ts.

import { open } from "node:fs/promises";
import { basename } from "node:path";
import { EngineError } from "../errors";
import { type ByteSource, checkRange } from "../load/byte-source";

/** Opens a file for reading; close() it after the load. Throws STORAGE if that fails. */
export async function fileSource(path: string): Promise<ByteSource> {
  const name = basename(path);
  const file = await open(path, "r").catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  const { size } = await file.stat();
  return {
    name,
    size,
    async read(offset, length) {
      checkRange(name, size, offset, length);
      const bytes = new Uint8Array(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled).catch((cause: unknown) => {
          throw unreadable(path, cause);
        });
        if (bytesRead === 0)
          throw new EngineError("TRUNCATED", `${path} ended at byte ${offset + filled}, it had ${size} bytes when it was opened. Get it again.`, {
            path,
            found: offset + filled,
            expected: size,
          });
        filled += bytesRead;
      }
      return bytes;
    },
    close: () => file.close(),
  };
}

function unreadable(path: string, cause: unknown): EngineError {
  return new EngineError(
    "STORAGE",
    `${path} could not be read: ${cause instanceof Error ? cause.message : String(cause)}. Check the path and its permissions.`,
    { path },
    { cause },
  );
}

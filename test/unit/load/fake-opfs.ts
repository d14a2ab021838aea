// fake-opfs: the page's storage as a worker sees it, in memory: files with synchronous handles, and locks on names. Can be full, deny, or lose what it has.

import { vi } from "vitest";
import type { SyncHandle } from "../../../src/load/scratch-file";

/** Puts one in the place of the browser's until vi.unstubAllGlobals(). */
export function stubOpfs(): FakeOpfs {
  const opfs = new FakeOpfs();
  vi.stubGlobal("navigator", {
    storage: { getDirectory: async () => ({ getDirectoryHandle: opfs.folder }) },
    locks: { request: opfs.request },
  });
  vi.stubGlobal("FileSystemFileHandle", FakeFile);
  return opfs;
}

export class FakeOpfs {
  /** By name; there is one folder. */
  readonly files = new Map<string, Uint8Array>();
  /** Names of files that have a handle. */
  readonly handles = new Set<string>();
  readonly locks = new Set<string>();
  /** Most bytes of all files. */
  quota = Number.POSITIVE_INFINITY;
  /** Writing beyond the quota throws; else it returns what Chromium returns. */
  throws = true;
  /** What opening, reading and writing throw. */
  fault: { open?: Error; read?: Error; write?: Error } = {};
  reads = 0;
  writes = 0;
  #hasFolder = false;

  get bytes(): number {
    return [...this.files.values()].reduce((sum, { length }) => sum + length, 0);
  }

  readonly folder = async (_name: string, options?: { create?: boolean }): Promise<object> => {
    if (!this.#hasFolder && !options?.create) throw new DOMException("no such folder", "NotFoundError");
    this.#hasFolder = true;
    const { files, handles } = this;
    return {
      getFileHandle: async (name: string) => new FakeFile(this, name),
      removeEntry: async (name: string) => {
        if (handles.has(name)) throw new DOMException("it is open", "NoModificationAllowedError");
        if (!files.delete(name)) throw new DOMException("no such file", "NotFoundError");
      },
      async *keys() {
        yield* files.keys();
      },
    };
  };

  readonly request = async (name: string, ...rest: readonly unknown[]): Promise<unknown> => {
    const act = rest.at(-1) as (lock: object | null) => Promise<unknown>;
    if (this.locks.has(name)) return act(null); // only asked for where that is allowed
    this.locks.add(name);
    return act({ name }).finally(() => this.locks.delete(name));
  };
}

class FakeFile {
  constructor(
    private readonly opfs: FakeOpfs,
    private readonly name: string,
  ) {
    if (!opfs.files.has(name)) opfs.files.set(name, new Uint8Array());
  }

  async createSyncAccessHandle(): Promise<SyncHandle> {
    const { opfs, name } = this;
    if (opfs.fault.open) throw opfs.fault.open;
    opfs.handles.add(name);
    const content = (): Uint8Array => {
      if (!opfs.handles.has(name)) throw new DOMException("it was closed", "InvalidStateError");
      return opfs.files.get(name) ?? new Uint8Array();
    };
    const resize = (bytes: number): void => {
      const old = content();
      if (opfs.bytes - old.length + bytes > opfs.quota) throw new DOMException("no room", "QuotaExceededError");
      const next = new Uint8Array(bytes);
      next.set(old.subarray(0, bytes));
      opfs.files.set(name, next);
    };
    return {
      read(into, { at }) {
        opfs.reads++;
        if (opfs.fault.read) throw opfs.fault.read;
        const part = content().subarray(at, at + into.length);
        into.set(part);
        return part.length;
      },
      write(bytes, { at }) {
        opfs.writes++;
        if (opfs.fault.write) throw opfs.fault.write;
        if (!opfs.throws && opfs.bytes - content().length + at + bytes.length > opfs.quota) return 2 ** 32 - 8;
        if (at + bytes.length > content().length) resize(at + bytes.length);
        content().set(bytes, at);
        return bytes.length;
      },
      truncate: resize,
      getSize: () => content().length,
      close: () => void opfs.handles.delete(name),
    };
  }
}

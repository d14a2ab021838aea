// chunk-store: the browser's own storage, OPFS and the Cache API. Stands here because this folder's tests also run in Chromium.

import { beforeEach, describe, expect, test } from "vitest";
import { isEngineError } from "../../src/errors";
import { type ChunkStore, cacheStore, openChunkStore, opfsStore } from "../../src/load/chunk-store";
import { download } from "../../src/load/download";
import { createHasher } from "../../src/load/hash";

const inBrowser = typeof window !== "undefined";
const stores: readonly (readonly [string, () => Promise<ChunkStore>])[] = [
  ["OPFS", async () => opfsStore(await navigator.storage.getDirectory())],
  ["the Cache API", async () => cacheStore(await caches.open("test"))],
];

describe.skipIf(!inBrowser).each(stores)("%s (a browser's; not run in Node)", (_name, open) => {
  let store: ChunkStore;
  beforeEach(async () => {
    store = await open();
    await store.delete("a model.gguf");
    await store.delete("another");
  });

  test("chunks come back in order, files do not mix, delete forgets all", async () => {
    expect(await store.chunks("a model.gguf")).toEqual([]);
    for (let index = 0; index < 12; index++) await store.put("a model.gguf", index, new Uint8Array([index, 7]));
    await store.put("another", 0, new Uint8Array([1]));
    const blob = new Blob(await store.chunks("a model.gguf"));
    expect([...new Uint8Array(await blob.arrayBuffer())]).toEqual(Array.from({ length: 12 }, (_, index) => [index, 7]).flat());
    expect(await store.isComplete("a model.gguf")).toBe(false);
    await store.complete("a model.gguf");
    expect([await store.isComplete("a model.gguf"), await store.isComplete("another")]).toEqual([true, false]);
    await store.delete("a model.gguf");
    expect([await store.isComplete("a model.gguf"), (await store.chunks("a model.gguf")).length, (await store.chunks("another")).length]).toEqual([
      false,
      0,
      1,
    ]);
    await store.delete("a model.gguf");
  });

  test("download into it, then again without network", async () => {
    const bytes = new Uint8Array(9 << 20).map((_, i) => (i * 2654435761) >>> 24);
    const hasher = createHasher();
    hasher.update(bytes);
    const request = { name: "a model.gguf", urls: ["https://model.invalid/"], bytes: bytes.length, sha256: hasher.digest() };
    let calls = 0;
    const serve = async (): Promise<Response> => {
      calls++;
      return new Response(bytes);
    };
    const first = await download(request, { store, fetch: serve });
    const second = await download(request, { store, fetch: serve });
    expect(calls).toBe(1);
    expect(first.size).toBe(bytes.length);
    expect(await second.read((8 << 20) - 3, 6)).toEqual(bytes.slice((8 << 20) - 3, (8 << 20) + 3)); // over the edge of two chunks
  });
});

test.skipIf(!inBrowser)("the page's store is there (a browser's; not run in Node)", async () => {
  expect(await (await openChunkStore()).chunks("nothing of this name")).toEqual([]);
});

test.skipIf(!inBrowser)("what the browser refuses becomes STORAGE (a browser's; not run in Node)", async () => {
  const root = await navigator.storage.getDirectory();
  const full = { getDirectoryHandle: () => Promise.reject(new DOMException("no room", "QuotaExceededError")) } as unknown as FileSystemDirectoryHandle;
  for (const [broken, text] of [
    [opfsStore(full), "quota is full"] as const,
    [opfsStore(await root.getDirectoryHandle("gone", { create: true })), "Allow"] as const,
  ]) {
    await root.removeEntry("gone", { recursive: true }).catch(() => undefined);
    const error = await broken.put("x", 0, new Uint8Array(1)).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(isEngineError(error) && error.code).toBe("STORAGE");
    expect(String(error)).toContain(text);
  }
});

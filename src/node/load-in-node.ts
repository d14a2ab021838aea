// load-in-node: the engine with Dawn under it and models from disk, fetched first if the catalogue knows them and they are not here.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { load, type ToolEngine } from "../engine";
import type { LoadRequest, ModelSource } from "../engine-types";
import { type ByteSource, blobSource, urlSource } from "../load/byte-source";
import { diskStore } from "./calibration-files";
import { fetchModel } from "./fetch-model";
import { fileSource } from "./file-source";
import { nodeGpu } from "./open-gpu";

/** Loads a model in this process. Throws what fetchModel, nodeGpu and load throw. */
export async function loadInNode(request: LoadRequest): Promise<ToolEngine> {
  const { signal, onProgress } = request;
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  async function open(source: ModelSource): Promise<ByteSource> {
    if ("path" in source) return fileSource(source.path);
    if ("file" in source) return blobSource(source.file);
    if ("url" in source) return urlSource(source.url, signal && { signal });
    return fileSource(await fetchModel(source.model, { say, ...(signal && { signal }), ...(onProgress && { onProgress }) }));
  }
  return load(request, { gpu: await nodeGpu(), open, read: readBundled, store: diskStore() });
}

/** A file of models/, from disk. */
export async function readBundled(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return readFile(fileURLToPath(new URL(`../../${path}`, import.meta.url))).then(
    (bytes) => new Uint8Array(bytes),
    () => undefined,
  );
}

// load-in-node: the engine with Dawn under it and its model from disk.

import { load } from "../engine";
import type { Engine, LoadRequest } from "../engine-types";
import { fileSource } from "./file-source";
import { nodeGpu } from "./open-gpu";

/** The model that comes with the repository. */
const TINY = "models/tiny/tiny-q8_0.gguf";

/** Loads a model in this process: a path, or a catalogue's name. Throws what openGpu and load throw. */
export async function loadInNode(request: LoadRequest): Promise<Engine> {
  return load(request, { gpu: await nodeGpu(), open: (source) => fileSource("path" in source ? source.path : TINY) });
}

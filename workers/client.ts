// client: an engine in a Web Worker, with the engine's own interface on this side.
// Leaves to others: the messages (remote-engine.ts), what runs in the worker (engine-worker.ts).

import type { Engine, LoadRequest } from "../src/engine-types";
import { EngineError } from "../src/errors";
import { loadOver } from "./remote-engine";

export interface WorkerOptions {
  /** A worker of one's own that runs engine-worker.ts. It is not ended when the engine is disposed. */
  readonly worker?: Worker;
}

/** Loads a model in a worker. Fails with the same typed errors as loading in this thread; a worker started here ends with the engine. */
export async function loadInWorker(request: LoadRequest, options: WorkerOptions = {}): Promise<Engine> {
  const worker = options.worker ?? new Worker(new URL("./engine-worker.ts", import.meta.url), { type: "module", name: "lacuna" });
  const end = (): void => {
    if (!options.worker) worker.terminate();
  };
  try {
    // The worker's own address is that of its script, which may lie in another folder than the page.
    return await loadOver(worker, { base: document.baseURI, ...request }, { died: death(worker), onDispose: end });
  } catch (error) {
    end();
    throw error;
  }
}

/** Resolves when the worker fails: a script that does not load fires `error` without a message, it never throws. */
function death(worker: Worker): Promise<EngineError> {
  return new Promise((resolve) => {
    worker.addEventListener("error", (event) => {
      const found = event.message || "its script could not be started";
      const message = `The worker stopped: ${found}. Expected workers/engine-worker to run; check that the content security policy allows workers, then load again.`;
      resolve(new EngineError("INTERNAL", message, { message: event.message, file: event.filename, line: event.lineno }));
    });
    worker.addEventListener("messageerror", () => resolve(new EngineError("INTERNAL", "A message from the worker could not be read. Load the model again.")));
  });
}

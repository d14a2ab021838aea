// generate: the command line. One prompt in, text (or one JSON object) on stdout, progress and a summary on stderr.
// Leaves to others: words to requests (options.ts), results to words (report.ts), everything the model does (engine.ts).

import { readFile, writeFile } from "node:fs/promises";
import type { Engine, GenerateResult, LoadRequest, Prompt, ScoreResult } from "../engine-types";
import { EngineError, isEngineError } from "../errors";
import { namedCalibration } from "./calibration-files";
import { type CommandOptions, type PromptSource, parseOptions, USAGE } from "./options";
import { progressPrinter } from "./progress";
import { cacheMapJson, errorJson, summary, toJson } from "./report";

/** What the command needs from outside; the tests bring their own. */
export interface CommandHost {
  load(request: LoadRequest): Promise<Engine>;
  stdout(text: string): void;
  stderr(text: string): void;
  readonly terminal: boolean;
  readonly signal: AbortSignal;
}

/** Exit code of a run that Ctrl-C ended, as shells have it. */
const INTERRUPTED = 130;

/** Runs one command line; resolves to the exit code. */
export async function main(argv: readonly string[], host: CommandHost = nodeHost()): Promise<number> {
  try {
    const options = parseOptions(argv);
    if (options === "help") host.stdout(USAGE);
    else await runCommand(options, host);
    return host.signal.aborted ? INTERRUPTED : 0;
  } catch (error) {
    if (argv.includes("--json")) host.stdout(`${JSON.stringify(errorJson(error))}\n`);
    else host.stderr(`${isEngineError(error) ? `${error.code}: ${error.message}` : error instanceof Error ? error.stack : String(error)}\n`);
    return host.signal.aborted ? INTERRUPTED : 1;
  }
}

async function runCommand(options: CommandOptions, host: CommandHost): Promise<void> {
  const prompt = await readPrompt(options.prompt, options.chat); // before the model: a wrong path should not cost a download
  const calibration = options.calibrationPath === undefined ? undefined : await namedCalibration(options.calibrationPath);
  const onProgress = progressPrinter(host.stderr, host.terminal);
  const { signal } = host;
  const { context, without } = options;
  const request = { ...options.source, signal, onProgress, without, ...(calibration && { calibration }), ...(context !== undefined && { context }) };
  const engine = await host.load(request);
  try {
    const asked = { ...options.cache, prompt, signal, onProgress, cacheMap: options.cacheMapPath !== undefined };
    const result = options.scoreFrom === undefined ? await generate(engine, asked, options, host) : await score(engine, { ...asked, from: options.scoreFrom });
    if (options.cacheMapPath !== undefined) await writeCacheMap(options.cacheMapPath, result);
    if (options.json) host.stdout(`${JSON.stringify(toJson(engine.info, result))}\n`);
    host.stderr(`${summary(result)}\n`);
  } finally {
    await engine.dispose();
  }
}

type CommonRequest = Parameters<Engine["generate"]>[0];

async function generate(engine: Engine, request: CommonRequest, options: CommandOptions, host: CommandHost): Promise<GenerateResult> {
  const { maxTokens, stop, sampling, json } = options;
  for await (const event of engine.generate({ ...request, ...sampling, stop, ...(maxTokens !== undefined && { maxTokens }) })) {
    if (event.kind === "tokens" && !json) host.stdout(event.text);
    if (event.kind !== "done") continue;
    if (!json) host.stdout("\n");
    return event.result;
  }
  throw unfinished();
}

async function score(engine: Engine, request: Parameters<Engine["score"]>[0]): Promise<ScoreResult> {
  for await (const event of engine.score(request)) if (event.kind === "done") return event.result;
  throw unfinished();
}

async function readPrompt(source: PromptSource, chat: boolean): Promise<Prompt> {
  if (source.kind === "ids") return { ids: await readIds(source.path) };
  const text = source.kind === "file" ? await readText(source.path) : source.text;
  return chat ? { messages: [{ role: "user", content: text }] } : { text };
}

async function readIds(path: string): Promise<number[]> {
  const text = await readText(path);
  const expected = "a JSON array of token ids";
  let ids: unknown;
  try {
    ids = JSON.parse(text);
  } catch (cause) {
    throw new EngineError("BAD_OPTION", `${path} is not JSON, expected ${expected}.`, { option: "--prompt-ids", expected }, { cause });
  }
  const isId = (id: unknown): id is number => Number.isSafeInteger(id) && (id as number) >= 0;
  if (!Array.isArray(ids) || !ids.every(isId))
    throw new EngineError("BAD_OPTION", `${path} holds something else than ${expected}.`, { option: "--prompt-ids", expected });
  return ids;
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new EngineError("STORAGE", `${path} could not be read (${(cause as NodeJS.ErrnoException).code}). Check the path.`, { path }, { cause });
  }
}

async function writeCacheMap(path: string, result: GenerateResult | ScoreResult): Promise<void> {
  if (!result.cacheMap) throw new EngineError("INTERNAL", "The engine sent no cache map although one was asked for. Please report this.");
  try {
    await writeFile(path, JSON.stringify(cacheMapJson(result.cacheMap)));
  } catch (cause) {
    throw new EngineError("STORAGE", `${path} could not be written (${(cause as NodeJS.ErrnoException).code}). Check the folder.`, { path }, { cause });
  }
}

function unfinished(): EngineError {
  return new EngineError("INTERNAL", "The engine's stream ended without a result. Please report this.");
}

/** This process: Dawn, files on disk, and Ctrl-C as the abort signal. */
function nodeHost(): CommandHost {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  return {
    async load(request) {
      const { loadInNode } = await import("./load-in-node");
      return loadInNode(request);
    },
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    terminal: process.stderr.isTTY === true,
    signal: interrupt.signal,
  };
}

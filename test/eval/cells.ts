// cells: what one policy at one budget did on one sample, and the file in which finished cells wait for a run that was killed to go on.

import { createHash } from "node:crypto";
import { appendFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "../../scripts/machine.mjs";
import type { ScoredToken } from "../../src/engine-types";
import type { CacheScore } from "../../src/generate/score-many";
import { PRESETS } from "../../src/policy/presets";
import type { Candidate } from "./options";
import type { Sample } from "./samples";

/** Sums rather than means where tokens of several samples are to be joined. */
export interface Cell {
  /** Part of the values found; of the tokens of prose guessed. */
  readonly score: number;
  /** Tokens compared: those of the values, or all that were forced. */
  readonly tokens: number;
  readonly kl: number; // sum, nats
  readonly top1: number; // count
  readonly logRatio: number; // sum of log p(full) - log p(compressed), nats
  readonly kvBytes: number;
  readonly fullBytes: number;
  readonly readBytes: number; // a token
  readonly peakBytes: number;
  readonly evicted: number;
  readonly decodeTokens: number;
  readonly decodeMs: number;
}

/** @param tokens of the policy's own cache; of any other one for the full cache, whose guesses stand beside */
export function cellOf(sample: Sample, { kv, timings }: CacheScore, tokens: readonly ScoredToken[], full: boolean): Cell {
  const first = (token: ScoredToken): number => (full ? token.fullFirst : token.first);
  const slice = ([start, end]: readonly [number, number]): readonly ScoredToken[] => tokens.slice(start - sample.from, end - sample.from);
  const compared = sample.compare === "all" ? tokens : sample.values.flatMap(slice);
  const found = sample.values.map((value) => slice(value).every((token) => first(token) === token.id));
  const guessed = found.length > 0 ? found : tokens.map((token) => first(token) === token.id);
  const sum = (of: (token: ScoredToken) => number): number => (full ? 0 : compared.reduce((total, token) => total + of(token), 0));
  return {
    score: guessed.filter(Boolean).length / guessed.length,
    tokens: compared.length,
    kl: sum(({ kl }) => kl),
    top1: full ? compared.length : sum(({ top1 }) => (top1 ? 1 : 0)),
    logRatio: sum(({ fullLogprob, logprob }) => fullLogprob - logprob),
    kvBytes: kv.bytes,
    fullBytes: kv.fullBytes,
    readBytes: kv.bytesReadPerToken,
    peakBytes: kv.peakBytes,
    evicted: kv.slotsEvicted,
    decodeTokens: Math.max(0, tokens.length - 1),
    decodeMs: timings.decodeMs,
  };
}

/** What a cell's figures depend on; whatever else changes, they hold. */
export interface CellOrigin {
  readonly model: string; // SHA-256 of the file
  readonly code: string; // codeHash()
}

/** By the policy's name too: `auto` and `full` are made of the same formats, and are not the same row. */
export function cellKey({ model, code }: CellOrigin, candidate: Candidate, sample: Sample): string {
  const { ids, from, values, compare } = sample;
  const { policy = "full" } = candidate.options;
  const spec = typeof policy === "string" ? PRESETS[policy].spec : policy; // what it leaves open follows from code and model
  return sha256(JSON.stringify([model, code, candidate.policy, spec, candidate.options.budget ?? null, ids, from, values, compare]));
}

/** SHA-256 of everything a result can depend on but the model: the engine, its shaders, measured shares and calibrations. */
export function codeHash(folder = root): string {
  const hash = createHash("sha256");
  for (const part of ["src", "shaders", "models"])
    for (const name of readdirSync(join(folder, part), { recursive: true, encoding: "utf8" }).sort())
      if (/\.(ts|wgsl|calibration)$/.test(name)) hash.update(`${part}/${name}\n`).update(readFileSync(join(folder, part, name)));
  return hash.digest("hex");
}

/** Finished cells, a line each, only ever added to: a run that is killed loses what it was doing and nothing else. */
export class CellFile {
  readonly #cells = new Map<string, Cell>();
  /** Ends the half line that a killed run left, so that the next one is not lost with it. */
  #gap: string;

  constructor(private readonly path = join(root, "test-results/eval.jsonl")) {
    const lines = readLines(path);
    this.#gap = lines.at(-1) === "" || lines.length === 0 ? "" : "\n";
    for (const line of lines) {
      const entry = parseLine(line);
      if (entry) this.#cells.set(entry.key, entry.cell);
    }
  }

  get(key: string): Cell | undefined {
    return this.#cells.get(key);
  }

  /** @param about for people who read the file */
  add(key: string, cell: Cell, about: Readonly<Record<string, unknown>> = {}): void {
    this.#cells.set(key, cell);
    mkdirSync(dirname(this.path), { recursive: true });
    appendFileSync(this.path, `${this.#gap}${JSON.stringify({ ...about, key, cell })}\n`);
    this.#gap = "";
  }
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    return []; // the first run
  }
}

/** Undefined for the half line a killed run may leave. */
function parseLine(line: string): { readonly key: string; readonly cell: Cell } | undefined {
  try {
    const entry = JSON.parse(line) as { key?: unknown; cell?: Cell };
    return typeof entry.key === "string" && entry.cell ? { key: entry.key, cell: entry.cell } : undefined;
  } catch {
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

// rows: cells joined over samples, one row for each policy and budget, as --json prints them and as a table for people. Pure.

import { percent, table } from "../bench/section";
import type { Cell } from "./cells";
import { type Candidate, type EvalOptions, FULL } from "./options";
import type { Kind } from "./samples";

export interface Row {
  readonly policy: string;
  /** A ratio of the 16-bit cache up to 1, bytes above, or null for policies that take what they take. */
  readonly budget: number | null;
  readonly task: string;
  readonly kind: Kind;
  readonly length: number;
  readonly samples: number;
  /** 0 to 1: part of the values found by greedy decoding; of the tokens of prose guessed. */
  readonly score: number;
  readonly meanKl: number; // KL(full || compressed), nats a token
  readonly top1Agreement: number; // 0 to 1
  readonly perplexityRatio: number; // of the true tokens, compressed over full
  readonly kvBytes: number; // live GPU buffers of the cache, mean over samples
  readonly fullBytes: number;
  readonly readBytes: number; // that attention reads of the cache for a token, mean over samples
  readonly peakBytes: number; // live GPU buffers of everything, most over samples
  readonly evicted: number; // slots, mean over samples
  readonly decodeTokensPerSecond: number;
}

/** The full cache first, then policies without a budget, then budget by budget from the largest. */
export function inOrder(candidates: readonly Candidate[]): Candidate[] {
  const size = ({ budget }: Candidate): number => budget ?? Number.POSITIVE_INFINITY;
  const isRatio = (budget: number | null): number => (budget === null ? 0 : budget <= 1 ? 1 : 2);
  return [FULL, ...[...candidates].sort((a, b) => isRatio(a.budget) - isRatio(b.budget) || (size(a) === size(b) ? 0 : size(b) - size(a)))];
}

/** @param cells of all samples of one kind */
export function rowOf({ task, length }: Pick<EvalOptions, "task" | "length">, kind: Kind, { policy, budget }: Candidate, cells: readonly Cell[]): Row {
  const sum = (of: (cell: Cell) => number): number => cells.reduce((total, cell) => total + of(cell), 0);
  const mean = (of: (cell: Cell) => number): number => sum(of) / cells.length;
  const tokens = sum((cell) => cell.tokens);
  const decodeMs = sum((cell) => cell.decodeMs);
  return {
    policy,
    budget,
    task,
    kind,
    length,
    samples: cells.length,
    score: mean((cell) => cell.score),
    meanKl: sum((cell) => cell.kl) / tokens,
    top1Agreement: sum((cell) => cell.top1) / tokens,
    perplexityRatio: Math.exp(sum((cell) => cell.logRatio) / tokens),
    kvBytes: Math.round(mean((cell) => cell.kvBytes)),
    fullBytes: Math.round(mean((cell) => cell.fullBytes)),
    readBytes: Math.round(mean((cell) => cell.readBytes)),
    peakBytes: Math.max(...cells.map((cell) => cell.peakBytes)),
    evicted: Math.round(mean((cell) => cell.evicted)),
    decodeTokensPerSecond: decodeMs > 0 ? (1000 * sum((cell) => cell.decodeTokens)) / decodeMs : 0,
  };
}

const HEAD = ["policy", "budget", "bytes", "kv KiB", "read", "score", "KL", "top-1", "ppl ratio", "evicted", "peak MiB", "tokens/s"];

/** One table a kind. */
export function describe(rows: readonly Row[]): string {
  const kinds = [...new Set(rows.map(({ kind }) => kind))];
  const parts = kinds.map((kind) => {
    const own = rows.filter((row) => row.kind === kind);
    const [{ task, length, samples } = { task: "", length: 0, samples: 0 }] = own;
    const title = `${task}${task === "forced" ? `, ${kind}` : ""}: ${length} tokens, ${samples} ${samples === 1 ? "sample" : "samples"}`;
    return `${title}\n${table(HEAD, own.map(words))}\n`;
  });
  return parts.join("\n");
}

function words(row: Row): string[] {
  const { policy, budget, kvBytes, fullBytes, readBytes } = row;
  const full = policy === FULL.policy;
  return [
    shorten(policy),
    budget === null ? "-" : budget <= 1 ? percent(budget, 2).replace(/\.?0+ %$/, " %") : `${(budget / 1024).toFixed(0)} KiB`,
    percent(kvBytes / fullBytes),
    (kvBytes / 1024).toFixed(0),
    percent(readBytes / fullBytes),
    row.score.toFixed(3),
    full ? "" : row.meanKl.toPrecision(2),
    full ? "" : row.top1Agreement.toFixed(3),
    full ? "" : row.perplexityRatio.toFixed(3),
    String(row.evicted),
    (row.peakBytes / 2 ** 20).toFixed(1),
    row.decodeTokensPerSecond.toFixed(1),
  ];
}

/** A policy as JSON is cut: rows need to fit a line. */
export function shorten(policy: string, most = 48): string {
  return policy.length > most ? `${policy.slice(0, most - 3)}...` : policy;
}

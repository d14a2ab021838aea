// bench-file: bench.json at the repository's root: the figures by section, each with the command, commit and machine that made them.

import { execFileSync } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join } from "node:path";
import { commit, root } from "../../scripts/machine.mjs";

export interface BenchRun {
  readonly command: string;
  readonly date: string; // ISO, UTC, of the last figure
  readonly seconds: number;
  readonly commit: string; // "+" behind it where the working tree differed from it
  readonly adapter: string;
  readonly processor: string;
  readonly cores: number;
  /** One-minute load averages before and after: on a machine that does other work, speeds are too low. */
  readonly loadAverage: readonly [number, number];
}

export interface BenchFile {
  readonly sections: Record<string, BenchRun & { result: unknown }>;
}

const PATH = join(root, "bench.json");

/** What is there, or nothing if there is no file yet. */
export function readBench(): BenchFile {
  let text: string;
  try {
    text = readFileSync(PATH, "utf8");
  } catch {
    return { sections: {} };
  }
  return JSON.parse(text) as BenchFile;
}

export function writeBench(bench: BenchFile): void {
  writeFileSync(`${PATH}.part`, `${JSON.stringify(bench, null, 2)}\n`);
  renameSync(`${PATH}.part`, PATH); // an interrupted run leaves the last whole file
}

/** Starts the clock of a section; the returned function says how it stands when a figure is there. */
export function currentRun(command: string): (adapter: string) => BenchRun {
  const started = performance.now();
  const [before = 0] = loadavg();
  const stand = treeStand();
  return (adapter) => ({
    command,
    date: new Date().toISOString(),
    seconds: Math.round((performance.now() - started) / 1000),
    commit: stand,
    adapter,
    processor: cpus()[0]?.model.trim() ?? "unknown processor",
    cores: availableParallelism(),
    loadAverage: [before, loadavg()[0] ?? 0],
  });
}

/** The commit, with "+" if anything that runs differs from it. */
export function treeStand(): string {
  const stand = commit();
  try {
    const changed = execFileSync("git", ["status", "--porcelain", "--", "src", "shaders", "models", "demo", "workers"], { cwd: root, encoding: "utf8" }).trim();
    return changed === "" ? stand : `${stand}+`;
  } catch {
    return stand;
  }
}

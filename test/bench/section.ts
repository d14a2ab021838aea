// section: what a part of the benchmark is, and the words all of them print with.

export interface BenchOptions {
  readonly models: readonly string[];
  readonly documents: number;
  /** The first of the documents, counted from 1. */
  readonly from: number;
  readonly contexts: readonly string[];
  readonly more: boolean;
  readonly fresh: boolean;
  readonly runs: number;
  /** A line on stderr. */
  say(line: string): void;
}

export interface SectionContext<Result = unknown> extends BenchOptions {
  /** What bench.json holds of this section. */
  readonly previous: Result | undefined;
  /** Writes the section's figures to bench.json. May be called as often as there is something new. */
  keep(result: Result, adapter: string): void;
}

export interface Section {
  readonly name: string;
  readonly title: string;
  run(context: SectionContext): Promise<void>;
  /** The figures as tables, and each target with what was reached. */
  describe(result: unknown): string;
}

/** A section whose figures have a type of their own. bench.json is this program's own writing, so what it holds is taken as that type. */
export function defineSection<Result>(parts: {
  readonly name: string;
  readonly title: string;
  run(context: SectionContext<Result>): Promise<void>;
  describe(result: Result): string;
}): Section {
  return {
    name: parts.name,
    title: parts.title,
    run: (context) => parts.run(context as SectionContext<Result>),
    describe: (result) => parts.describe(result as Result),
  };
}

/** Columns, the first flush left, the others flush right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (cells: readonly string[]): string =>
    `  ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  ")}`.trimEnd();
  return [line(head), ...rows.map(line)].join("\n");
}

/** `reached` or `MISSED`, with both numbers. @param most whether the limit is an upper one */
export function target(what: string, found: number, limit: number, bound: "at most" | "at least", unit = "", digits = 3): string {
  const reached = bound === "at most" ? found <= limit : found >= limit;
  const number = (value: number): string => (Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(digits))));
  return `  ${reached ? "reached" : "MISSED "}  ${what}: ${number(found)}${unit}, wanted ${bound} ${number(limit)}${unit}`;
}

export function percent(part: number, digits = 1): string {
  return `${(100 * part).toFixed(digits)} %`;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[half] ?? Number.NaN) : mean(sorted.slice(half - 1, half + 1));
}

// main: `npm run bench`. Runs the sections that are named, or all, keeps their figures in bench.json and prints every figure there is.
// Nothing here fails because something is slow: a target that is missed is printed as missed.

import { parseArgs } from "node:util";
import { type BenchFile, currentRun, readBench, writeBench } from "./bench-file";
import { documents } from "./documents";
import { drift } from "./drift";
import { page } from "./page";
import { peak } from "./peak";
import { recall } from "./recall";
import type { BenchOptions, Section } from "./section";
import { speed } from "./speed";

const SECTIONS: readonly Section[] = [documents, recall, drift, speed, peak, page];

const USAGE = `Usage: npm run bench -- [SECTION...] [options]

${SECTIONS.map(({ name, title }) => `  ${name.padEnd(14)} ${title}`).join("\n")}

Without a section all of them run, which takes long without a GPU. Figures of sections that are not run stay in bench.json.

  --model NAME    speed: this model only, may be repeated
  --documents N   documents, recall: N of them instead of 30
  --from N        recall: the first of them, counted from 1
  --context NAME  drift: this context only, may be repeated
  --more          drift: lacuna with one pass and with two, at three budgets, too
                  speed: fastkv's prompts and what reads little of the cache against the ordinary, in turns, too
  --fresh         drift: measure again what bench.json has already
  --runs N        speed, page: repetitions (default 3)
  --print         run nothing, print bench.json
  --json          print bench.json's content instead of tables
`;

const OPTIONS = {
  model: { type: "string", multiple: true },
  documents: { type: "string" },
  from: { type: "string" },
  context: { type: "string", multiple: true },
  more: { type: "boolean" },
  fresh: { type: "boolean" },
  runs: { type: "string" },
  print: { type: "boolean" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Exit code 0 when everything asked for was measured, 1 when a section broke, 2 for words it does not know. */
export async function main(argv: readonly string[]): Promise<number> {
  const words = parseWords(argv);
  if (typeof words === "string") {
    const asked = words === USAGE;
    (asked ? process.stdout : process.stderr).write(words);
    return asked ? 0 : 2;
  }
  let broken = 0;
  for (const section of words.sections) {
    try {
      await runSection(section, words.options, argv);
    } catch (error) {
      broken++;
      process.stderr.write(`${section.name} broke: ${error instanceof Error ? error.stack : String(error)}\n`);
    }
  }
  const bench = readBench();
  process.stdout.write(words.json ? `${JSON.stringify(bench, null, 2)}\n` : describe(bench));
  return broken > 0 ? 1 : 0;
}

async function runSection(section: Section, options: BenchOptions, argv: readonly string[]): Promise<void> {
  const { say } = options;
  say(`${section.name}: ${section.title}`);
  const finish = currentRun(`npm run bench -- ${argv.join(" ")}`.trim());
  const keep = (result: unknown, adapter: string): void => {
    const { sections } = readBench(); // another run may have written its own section meanwhile
    writeBench({ sections: { ...sections, [section.name]: { ...finish(adapter), result } } });
  };
  await section.run({ ...options, previous: readBench().sections[section.name]?.result, keep });
}

function describe(bench: BenchFile): string {
  const parts = SECTIONS.flatMap((section) => {
    const entry = bench.sections[section.name];
    if (!entry) return [];
    const { date, commit, adapter, cores, processor, loadAverage, seconds, command, result } = entry;
    const load = loadAverage.map((value) => value.toFixed(1)).join(" -> ");
    const where = `${date.slice(0, 16).replace("T", " ")} UTC · ${commit} · ${adapter} · ${cores} cores (${processor}), load average ${load} · ${seconds} s`;
    return [`${section.name}: ${section.title}\n${where}\n${command}\n\n${section.describe(result)}\n`];
  });
  return parts.length > 0 ? `${parts.join("\n")}\n` : "bench.json has no figures yet.\n";
}

interface Words {
  readonly sections: readonly Section[];
  readonly options: BenchOptions;
  readonly json: boolean;
}

function parseWords(argv: readonly string[]): Words | string {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`;
  }
  const { values, positionals } = parsed;
  if (values.help) return USAGE;
  const unknown = positionals.find((name) => !SECTIONS.some((section) => section.name === name));
  if (unknown !== undefined) return `There is no section ${unknown}.\n\n${USAGE}`;
  const count = (text: string | undefined, otherwise: number): number => (text === undefined ? otherwise : Math.max(1, Number.parseInt(text, 10) || otherwise));
  return {
    sections: values.print ? [] : SECTIONS.filter(({ name }) => positionals.length === 0 || positionals.includes(name)),
    json: values.json ?? false,
    options: {
      models: values.model ?? [],
      documents: count(values.documents, 30),
      from: count(values.from, 1),
      contexts: values.context ?? [],
      more: values.more ?? false,
      fresh: values.fresh ?? false,
      runs: count(values.runs, 3),
      say: (line) => void process.stderr.write(`${line}\n`),
    },
  };
}

function parse(argv: readonly string[]) {
  return parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: true });
}

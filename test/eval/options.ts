// options: the command line of `npm run eval`, checked once. Reads no file and loads no model.

import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Budget, CacheOptions, ModelSource } from "../../src/engine-types";
import { EngineError } from "../../src/errors";
import { parseBudget, parsePolicy, parseSource } from "../../src/node/options";
import { needsBudget, resolvePolicy } from "../../src/policy/policy";
import { PRESET_NAMES } from "../../src/policy/presets";
import { type Kind, TASKS, type Task } from "./samples";

/** One policy at one budget, as rows name it. */
export interface Candidate {
  /** A preset's name or the JSON that was given. */
  readonly policy: string;
  /** A ratio, bytes, or null for policies that take what they take. */
  readonly budget: number | null;
  readonly options: CacheOptions;
}

export interface EvalOptions {
  readonly source: ModelSource;
  readonly task: Task;
  /** Of task `forced`; all others ask for facts. */
  readonly kinds: readonly Kind[];
  readonly length: number;
  readonly candidates: readonly Candidate[];
  readonly hidden: boolean;
  /** Of every kind. */
  readonly samples: number;
  readonly seed: number;
  /** A calibration of the caller's own. */
  readonly calibrationPath: string | undefined;
  readonly json: boolean;
  readonly plot: string | undefined;
  /** Measures again what is kept already. */
  readonly fresh: boolean;
  /** Policies that share a pass over the prompt, and so memory. */
  readonly together: number;
}

/** The yardstick: every run has it, as its first row. */
export const FULL: Candidate = { policy: "full", budget: 1, options: { policy: "full" } };

export const USAGE = `Usage: npm run -s eval -- --model tiny|smollm2-135m|PATH.gguf --task TASK --policy P,P,... --budget B,B,... [options]

  --model NAME|PATH   a model of models/catalog.json, or a GGUF file (default tiny)
  --task TASK         forced        a text that goes on (--kind prose), and keys hidden in a text and asked for (--kind facts), token by token
                      passkey       one key in a text
                      niah          one sentence unlike the others, at rising depths
                      multikey      six keys in a text, one asked
                      kv-retrieval  nothing but keys and values, one asked
                      vt            variables that are copies of each other, all asked (the tiny model: names with the same key)
  --kind KIND         forced: prose or facts (default both, as rows of their own)
  --length N          tokens: of the compressed prompt (forced), of prompt, question and answer (other tasks) (default 1024)
  --policy P,P        ${PRESET_NAMES.join(", ")}; "all"; or a policy as JSON
  --budget B,B        ratios of the 16-bit cache (0.25), bytes (2MiB, 1500000)
  --hidden            the prompt is compressed without the question (default); --visible: with it
  --samples K         of each kind (default 2 for forced, 10 otherwise); --seed S chooses others (default 1)
  --calibration FILE  what npm run calibrate made of this model with --out; default the bundled or the kept one
  --json              one JSON object on stdout instead of a table
  --plot F.svg        draws KL over bytes
  --fresh             measures again what is kept in test-results/eval.jsonl from earlier runs of the same code
  --together N        policies that share one pass over the prompt (default 8); fewer take less memory and are kept sooner
`;

const OPTIONS = {
  model: { type: "string" },
  task: { type: "string" },
  kind: { type: "string" },
  length: { type: "string" },
  policy: { type: "string", multiple: true },
  budget: { type: "string", multiple: true },
  hidden: { type: "boolean" },
  visible: { type: "boolean" },
  samples: { type: "string" },
  seed: { type: "string" },
  calibration: { type: "string" },
  json: { type: "boolean" },
  plot: { type: "string" },
  fresh: { type: "boolean" },
  together: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const satisfies ParseArgsConfig["options"];

/** Throws BAD_OPTION. */
export function parseOptions(argv: readonly string[]): EvalOptions | "help" {
  const words = parseWords(argv);
  if (words.help) return "help";
  if (words.hidden && words.visible) throw new EngineError("BAD_OPTION", "--hidden and --visible were both given. Choose one.", { option: "--visible" });
  const task = TASKS.find((name) => name === words.task) ?? bad("--task", words.task ?? "not given", TASKS.join(", "));
  if (words.plot === "") bad("--plot", "", "the path of a file to write, such as eval.svg");
  return {
    source: parseSource(words.model ?? "tiny"),
    task,
    kinds: parseKinds(task, words.kind),
    length: whole("--length", words.length, 1024, 32, 1 << 20),
    candidates: candidatesOf(splitList((words.policy ?? []).join(",")), splitList((words.budget ?? []).join(","))),
    hidden: !words.visible,
    samples: whole("--samples", words.samples, task === "forced" ? 2 : 10, 1, 10_000),
    seed: whole("--seed", words.seed, 1, 0, 2 ** 32 - 1),
    calibrationPath: words.calibration,
    json: words.json ?? false,
    plot: words.plot,
    fresh: words.fresh ?? false,
    together: whole("--together", words.together, 8, 1, 64),
  };
}

/** Every policy at every budget; once for policies that need none. `full` is left out: every run has it. */
export function candidatesOf(policies: readonly string[], budgets: readonly string[]): Candidate[] {
  if (policies.length === 0) bad("--policy", "not given", `one or more of ${PRESET_NAMES.join(", ")}, or all`);
  const chosen = new Map<string, CacheOptions["policy"]>();
  for (const word of policies.flatMap((name): readonly string[] => (name === "all" ? PRESET_NAMES : [name]))) {
    const policy = parsePolicy(word);
    chosen.set(typeof policy === "string" ? policy : JSON.stringify(policy), policy);
  }
  chosen.delete("full");
  const sizes = budgets.flatMap((word) => [parseBudget(word)].map((budget) => ({ budget, size: "ratio" in budget ? budget.ratio : budget.bytes })));
  return [...chosen].flatMap(([name, policy]) => candidates(name, policy, sizes));
}

function candidates(name: string, policy: CacheOptions["policy"], sizes: readonly { readonly budget: Budget; readonly size: number }[]): Candidate[] {
  if (!needsBudget(resolvePolicy(policy))) return [{ policy: name, budget: null, options: { ...(policy && { policy }) } }];
  if (sizes.length === 0) bad("--budget", "not given", `at least one: ${name} spends what it is given`);
  const different = sizes.filter(({ size }, index) => sizes.findIndex((other) => other.size === size) === index);
  return different.map(({ budget, size }) => ({ policy: name, budget: size, options: { ...(policy && { policy }), budget } }));
}

/** Cuts at commas, but not inside JSON. */
export function splitList(text: string): string[] {
  const items: string[] = [];
  let depth = 0;
  let item = "";
  for (const letter of text) {
    if (letter === "{" || letter === "[") depth++;
    if (letter === "}" || letter === "]") depth--;
    if (letter !== "," || depth > 0) item += letter;
    else {
      items.push(item.trim());
      item = "";
    }
  }
  return [...items, item.trim()].filter((word) => word !== "");
}

function parseWords(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    throw new EngineError("BAD_OPTION", `${cause instanceof Error ? cause.message : String(cause)}. See --help.`, {}, { cause });
  }
}

function parseKinds(task: Task, kind: string | undefined): readonly Kind[] {
  if (task !== "forced") return kind === undefined ? ["facts"] : bad("--kind", kind, "no --kind with this task: only forced has two");
  const kinds = ["prose", "facts"] as const;
  return kind === undefined ? kinds : [kinds.find((known) => known === kind) ?? bad("--kind", kind, kinds.join(" or "))];
}

function whole(option: string, text: string | undefined, otherwise: number, least: number, most: number): number {
  if (text === undefined) return otherwise;
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  return value >= least && value <= most ? value : bad(option, text, `a whole number from ${least} to ${most}`);
}

function bad(option: string, found: string, expected: string): never {
  throw new EngineError("BAD_OPTION", `${option} was "${found}", expected ${expected}. See --help.`, { option, found, expected });
}

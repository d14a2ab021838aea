// options: the command line's words turned into requests, checked once. Pure: reads no file and loads no model.

import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Budget, CacheOptions, ModelSource, PolicySpec, PresetName, SamplingOptions } from "../engine-types";
import { EngineError } from "../errors";
import { PRESET_NAMES } from "../policy/presets";

/** Where the prompt's words are; files are read later. */
export type PromptSource =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "ids"; readonly path: string };

export interface CommandOptions {
  readonly source: ModelSource;
  readonly prompt: PromptSource;
  /** The text is a user's message: special tokens in it are plain text. */
  readonly chat: boolean;
  readonly cache: CacheOptions;
  readonly sampling: SamplingOptions;
  readonly maxTokens: number | undefined;
  readonly stop: readonly string[];
  /** First forced token, or undefined to generate. */
  readonly scoreFrom: number | undefined;
  readonly cacheMapPath: string | undefined;
  /** A calibration of the caller's own. */
  readonly calibrationPath: string | undefined;
  readonly context: number | undefined;
  readonly without: readonly ("shader-f16" | "subgroups")[];
  readonly json: boolean;
}

/** Names of the presets, a few to a line. */
const PRESET_LINES = Array.from({ length: Math.ceil(PRESET_NAMES.length / 7) }, (_, line) => PRESET_NAMES.slice(7 * line, 7 * line + 7).join(", ")).join(
  ",\n                         ",
);

export const USAGE = `Usage: npm run -s generate -- --model tiny|smollm2-135m|PATH.gguf --prompt TEXT [options]

  --model NAME|PATH      a model of models/catalog.ts, or a GGUF file (default tiny)
  --prompt TEXT          the prompt; or --prompt-file FILE, or --prompt-ids FILE.json (an array of token ids)
  --chat                 the text is a user's message, special tokens in it are plain text; without, it is raw
  --policy NAME|JSON     ${PRESET_LINES}
                         or a policy as JSON; default lacuna where a budget is given, else full
  --budget B             what the policy may use: 0.1 (of the 16-bit cache), 32MiB, or bytes
  --task chat|reasoning  what the answer is for: policy auto keeps at least 30 % of the bytes where the model reasons (default chat)
  --max-tokens N         new tokens at most (default 256); --stop TEXT ends earlier, may be repeated
  --temperature T        0 = greedy (default); --top-k N, --top-p P, --min-p P, --repetition-penalty R, --seed N
  --score FROM           force the tokens from FROM on and compare with the full cache, instead of generating
  --cache-map FILE       write every kept position with its format, by layer and kv head
  --calibration FILE     what npm run calibrate made of this model with --out; default the bundled or the kept one
  --context N            positions to prepare for
  --without FEATURE      do not use shader-f16 or subgroups, may be repeated
  --json                 one JSON object on stdout; progress always goes to stderr
`;

const OPTIONS = {
  model: { type: "string" },
  prompt: { type: "string" },
  "prompt-file": { type: "string" },
  "prompt-ids": { type: "string" },
  chat: { type: "boolean" },
  policy: { type: "string" },
  budget: { type: "string" },
  task: { type: "string" },
  "max-tokens": { type: "string" },
  stop: { type: "string", multiple: true },
  temperature: { type: "string" },
  "top-k": { type: "string" },
  "top-p": { type: "string" },
  "min-p": { type: "string" },
  "repetition-penalty": { type: "string" },
  seed: { type: "string" },
  score: { type: "string" },
  "cache-map": { type: "string" },
  calibration: { type: "string" },
  context: { type: "string" },
  without: { type: "string", multiple: true },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const satisfies ParseArgsConfig["options"];

const FEATURES = ["shader-f16", "subgroups"] as const;
const TASKS = ["chat", "reasoning"] as const satisfies readonly CacheOptions["task"][];
const UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1 << 10, MiB: 1 << 20, GiB: 1 << 30, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9 };

/** The command line's options, or "help". Throws BAD_OPTION. */
export function parseOptions(argv: readonly string[]): CommandOptions | "help" {
  const values = parseWords(argv);
  if (values.help) return "help";
  return {
    source: parseSource(values.model ?? "tiny"),
    prompt: parsePrompt(values.prompt, values["prompt-file"], values["prompt-ids"], values.chat ?? false),
    chat: values.chat ?? false,
    cache: {
      ...(values.policy !== undefined && { policy: parsePolicy(values.policy) }),
      ...(values.budget !== undefined && { budget: parseBudget(values.budget) }),
      ...(values.task !== undefined && { task: parseTask(values.task, values.policy) }),
    },
    sampling: {
      ...entry("temperature", number("--temperature", values.temperature, 0)),
      ...entry("topK", integer("--top-k", values["top-k"], 0)),
      ...entry("topP", number("--top-p", values["top-p"], 0, 1)),
      ...entry("minP", number("--min-p", values["min-p"], 0, 1)),
      ...entry("repetitionPenalty", number("--repetition-penalty", values["repetition-penalty"], 0)),
      ...entry("seed", integer("--seed", values.seed, 0, 2 ** 32 - 1)),
    },
    maxTokens: integer("--max-tokens", values["max-tokens"], 1),
    stop: values.stop ?? [],
    scoreFrom: integer("--score", values.score, 1),
    cacheMapPath: values["cache-map"],
    calibrationPath: values.calibration,
    context: integer("--context", values.context, 1),
    without: (values.without ?? []).map((name) => FEATURES.find((known) => known === name) ?? bad("--without", name, FEATURES.join(" or "))),
    json: values.json ?? false,
  };
}

/** `0.1` is a ratio (up to 1), `32MiB` and `1500000` are bytes. */
export function parseBudget(text: string): Budget {
  const [, digits = "", unit] = /^(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]+)?$/.exec(text.trim()) ?? [];
  const expected = "a ratio such as 0.1, bytes with a unit such as 32MiB, or whole bytes above 1";
  const value = digits === "" ? Number.NaN : Number(digits);
  if (unit !== undefined) {
    const bytes = Math.floor(value * (UNITS[unit] ?? Number.NaN));
    return bytes > 0 ? { bytes } : bad("--budget", text, expected);
  }
  if (value > 0 && value <= 1) return { ratio: value };
  return Number.isSafeInteger(value) && value > 1 ? { bytes: value } : bad("--budget", text, expected);
}

/** A preset's name or a policy as JSON; its fields are checked where they are used, by the engine. */
export function parsePolicy(text: string): PresetName | PolicySpec {
  if (!text.trimStart().startsWith("{"))
    return PRESET_NAMES.find((name) => name === text) ?? bad("--policy", text, `${PRESET_NAMES.join(", ")}, or a JSON object`);
  let spec: { readonly precision?: { readonly kind?: unknown } };
  try {
    spec = JSON.parse(text);
  } catch (cause) {
    return bad("--policy", text, `JSON (${cause instanceof Error ? cause.message : "it does not parse"})`);
  }
  if (typeof spec.precision?.kind !== "string") bad("--policy", text, 'an object with at least {"precision": {"kind": ...}}');
  return spec as PolicySpec;
}

/** No other policy reads it: given beside one, it would be ignored in silence. */
function parseTask(text: string, policy: string | undefined): NonNullable<CacheOptions["task"]> {
  if (policy !== "auto") bad("--task", text, "--policy auto beside it, the only one that reads it");
  return TASKS.find((task) => task === text) ?? bad("--task", text, TASKS.join(" or "));
}

function parseWords(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    throw new EngineError("BAD_OPTION", `${cause instanceof Error ? cause.message : String(cause)}. See --help.`, {}, { cause });
  }
}

/** What --model names: a path ends in .gguf or holds a slash; everything else is a name of the catalogue. */
export function parseSource(model: string): { readonly path: string } | { readonly model: string } {
  if (model === "") bad("--model", model, "a model's name or the path of a GGUF file");
  return /\.gguf$/i.test(model) || /[\\/]/.test(model) ? { path: model } : { model };
}

function parsePrompt(text: string | undefined, file: string | undefined, ids: string | undefined, chat: boolean): PromptSource {
  const given = [text, file, ids].filter((value) => value !== undefined).length;
  if (given !== 1)
    throw new EngineError("BAD_OPTION", `${given} prompts given, one expected: --prompt, --prompt-file or --prompt-ids. See --help.`, {
      found: given,
      expected: 1,
    });
  if (ids !== undefined) return chat ? bad("--chat", "--prompt-ids", "a text: --prompt or --prompt-file") : { kind: "ids", path: ids };
  return file !== undefined ? { kind: "file", path: file } : { kind: "text", text: text ?? "" };
}

function number(name: string, text: string | undefined, least: number, most = Number.MAX_VALUE): number | undefined {
  return parseNumber(name, text, least, most, "a number", Number.isFinite);
}

function integer(name: string, text: string | undefined, least: number, most = Number.MAX_SAFE_INTEGER): number | undefined {
  return parseNumber(name, text, least, most, "a whole number", Number.isSafeInteger);
}

function parseNumber(
  name: string,
  text: string | undefined,
  least: number,
  most: number,
  what: string,
  isKind: (value: number) => boolean,
): number | undefined {
  if (text === undefined) return undefined;
  const value = text.trim() === "" ? Number.NaN : Number(text);
  return isKind(value) && value >= least && value <= most ? value : bad(name, text, `${what} ${range(least, most)}`);
}

function range(least: number, most: number): string {
  return most >= Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
}

/** `{ [name]: value }`, or nothing where the option was not given: defaults are the engine's. */
function entry<Name extends string, Value>(name: Name, value: Value | undefined): { readonly [key in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [key in Name]: Value });
}

function bad(option: string, found: string, expected: string): never {
  throw new EngineError("BAD_OPTION", `${option} was "${found}", expected ${expected}. See --help.`, { option, found, expected });
}

// options: what `npm run eval` accepts, what it refuses and in which words.

import { expect, test } from "vitest";
import { isEngineError } from "../../../src/errors";
import { PRESET_NAMES } from "../../../src/policy/presets";
import { candidatesOf, type EvalOptions, parseOptions, splitList } from "../../eval/options";

function parse(...argv: string[]): EvalOptions {
  const options = parseOptions(argv);
  if (options === "help") throw new Error("help");
  return options;
}

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (isEngineError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "accepted";
}

test("defaults: the tiny model, 1,024 tokens, the question hidden, both kinds of forced text", () => {
  expect(parse("--task", "forced", "--policy", "uniform-4")).toEqual({
    source: { model: "tiny" },
    task: "forced",
    kinds: ["prose", "facts"],
    length: 1024,
    candidates: [{ policy: "uniform-4", budget: null, options: { policy: "uniform-4" } }],
    hidden: true,
    samples: 2,
    seed: 1,
    calibrationPath: undefined,
    json: false,
    plot: undefined,
    fresh: false,
    together: 8,
  });
  expect(parse("--task", "niah", "--policy", "full")).toMatchObject({ kinds: ["facts"], samples: 10, candidates: [] });
});

test("every option reaches its field", () => {
  const words =
    "--model a/b.gguf --task forced --kind facts --length 256 --policy uniform-8 --visible --samples 3 --seed 7 --json --plot x.svg --fresh --together 2";
  expect(parse(...words.split(" "))).toMatchObject({
    source: { path: "a/b.gguf" },
    kinds: ["facts"],
    length: 256,
    hidden: false,
    samples: 3,
    seed: 7,
    json: true,
    plot: "x.svg",
    fresh: true,
    together: 2,
  });
});

test("a policy that spends gets every budget once, the others one row; the full cache is in every run anyway", () => {
  const made = candidatesOf(["full", "uniform-8", "rate-distortion", "rate-distortion"], ["0.25", "2MiB", "0.25"]);
  expect(made.map(({ policy, budget }) => [policy, budget])).toEqual([
    ["uniform-8", null],
    ["rate-distortion", 0.25],
    ["rate-distortion", 2 << 20],
  ]);
  expect(made[2]?.options).toEqual({ policy: "rate-distortion", budget: { bytes: 2 << 20 } });
});

test("all stands for every preset the engine knows", () => {
  expect(new Set(candidatesOf(["all"], ["0.5"]).map(({ policy }) => policy))).toEqual(new Set(PRESET_NAMES.filter((name) => name !== "full")));
});

test("a policy as JSON keeps its commas and reaches the engine as it is", () => {
  const json = '{"precision":{"kind":"tiers","formats":["k2v2","k4v4"],"thresholds":[1,4]}}';
  expect(splitList(`uniform-4, ${json},full`)).toEqual(["uniform-4", json, "full"]);
  expect(candidatesOf(splitList(json), ["0.25"])).toEqual([{ policy: json, budget: 0.25, options: { policy: JSON.parse(json), budget: { ratio: 0.25 } } }]);
});

test("what cannot be is refused with what could", () => {
  const words = ["--task", "forced", "--policy", "rate-distortion", "--budget", "0.25"];
  expect(refusal(() => parse(...words))).toBe("accepted");
  expect(refusal(() => parse("--policy", "full"))).toMatch(/--task.*forced, passkey, niah, multikey, kv-retrieval, vt/);
  expect(refusal(() => parse("--task", "forced", "--policy", "h3o"))).toContain(PRESET_NAMES.join(", "));
  expect(refusal(() => parse("--task", "forced"))).toMatch(/^BAD_OPTION: --policy/);
  expect(refusal(() => parse("--task", "forced", "--policy", "rate-distortion"))).toMatch(/--budget.*rate-distortion/);
  expect(refusal(() => parse(...words, "--budget", "1.5"))).toMatch(/--budget was "1.5"/);
  expect(refusal(() => parse(...words, "--budget", "0"))).toMatch(/--budget was "0"/);
  expect(refusal(() => parse(...words, "--length", "12.5"))).toMatch(/--length was "12.5"/);
  expect(refusal(() => parse(...words, "--samples", "0"))).toMatch(/--samples was "0"/);
  expect(refusal(() => parse(...words, "--kind", "verse"))).toMatch(/prose or facts/);
  expect(refusal(() => parse("--task", "vt", "--policy", "full", "--kind", "prose"))).toMatch(/only forced/);
  expect(refusal(() => parse(...words, "--hidden", "--visible"))).toMatch(/Choose one/);
  expect(refusal(() => parse(...words, "--colour"))).toMatch(/^BAD_OPTION: .*--colour/);
  expect(refusal(() => parse("--task", "forced", "--policy", '{"precision":{"kind":"tiers","thresholds":[4,1]}}', "--budget", "0.5"))).toMatch(/rising/);
});

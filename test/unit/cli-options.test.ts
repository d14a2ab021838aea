// cli-options: what the command line accepts, what it refuses, and in which words.

import fc from "fast-check";
import { expect, test } from "vitest";
import { isEngineError } from "../../src/errors";
import { type CommandOptions, parseBudget, parseOptions, parsePolicy } from "../../src/node/options";
import { PRESET_NAMES } from "../../src/policy/presets";

function parse(...argv: string[]): CommandOptions {
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

test("a bare prompt leaves every default to the engine", () => {
  expect(parse("--prompt", "Hello")).toEqual({
    source: { model: "tiny" },
    prompt: { kind: "text", text: "Hello" },
    chat: false,
    cache: {},
    sampling: {},
    maxTokens: undefined,
    stop: [],
    scoreFrom: undefined,
    cacheMapPath: undefined,
    calibrationPath: undefined,
    context: undefined,
    without: [],
    json: false,
  });
});

test("every option reaches its field", () => {
  const options = parse(
    ...[
      "--model",
      "smollm2-135m",
      "--prompt-file",
      "p.txt",
      "--chat",
      "--policy",
      "rate-distortion",
      "--budget",
      "0.125",
      "--max-tokens",
      "32",
      "--stop",
      "a",
      "--stop",
      "b",
    ],
    ...["--temperature", "0.7", "--top-k", "40", "--top-p", "0.9", "--min-p", "0.05", "--repetition-penalty", "1.1", "--seed", "7"],
    ...["--score", "1024", "--cache-map", "map.json", "--calibration", "my.calibration", "--context", "2048", "--without", "subgroups", "--json"],
  );
  expect(options).toEqual({
    source: { model: "smollm2-135m" },
    prompt: { kind: "file", path: "p.txt" },
    chat: true,
    cache: { policy: "rate-distortion", budget: { ratio: 0.125 } },
    sampling: { temperature: 0.7, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1, seed: 7 },
    maxTokens: 32,
    stop: ["a", "b"],
    scoreFrom: 1024,
    cacheMapPath: "map.json",
    calibrationPath: "my.calibration",
    context: 2048,
    without: ["subgroups"],
    json: true,
  });
});

test("a model is a name, or a path if it looks like one", () => {
  expect(parse("--prompt", "", "--model", "tiny").source).toEqual({ model: "tiny" });
  expect(parse("--prompt", "", "--model", "smollm2-135m").source).toEqual({ model: "smollm2-135m" });
  expect(parse("--prompt", "", "--model", "Some.Q4_1.gguf").source).toEqual({ path: "Some.Q4_1.gguf" });
  expect(parse("--prompt", "", "--model", "./folder/file").source).toEqual({ path: "./folder/file" });
  expect(parse("--prompt", "", "--model", "C:\\models\\x.GGUF").source).toEqual({ path: "C:\\models\\x.GGUF" });
});

test("a prompt may begin with a dash, or be empty, if joined by =", () => {
  expect(parse("--prompt=--chat").prompt).toEqual({ kind: "text", text: "--chat" });
  expect(parse("--prompt=").prompt).toEqual({ kind: "text", text: "" });
});

test.each([
  ["0.1", { ratio: 0.1 }],
  [".25", { ratio: 0.25 }],
  ["1", { ratio: 1 }],
  ["2", { bytes: 2 }],
  ["33554432", { bytes: 33_554_432 }],
  ["32MiB", { bytes: 33_554_432 }],
  ["1.5 KiB", { bytes: 1536 }],
  ["2MB", { bytes: 2_000_000 }],
  ["1GiB", { bytes: 1_073_741_824 }],
])("budget %s", (text, expected) => {
  expect(parseBudget(text)).toEqual(expected);
});

test.each(["", "0", "-1", "1.5", "ten", "10%", "32mb", "0MiB", "1e6", "NaN", "MiB"])("budget %j is refused", (text) => {
  expect(refusal(() => parseBudget(text))).toMatch(/^BAD_OPTION: --budget was ".*", expected a ratio such as 0\.1, bytes with a unit such as 32MiB/);
});

test("any ratio and any whole number of bytes is read as itself", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 2, max: 2 ** 40 }), (thousandths, bytes) => {
      expect(parseBudget(String(thousandths / 1000))).toEqual({ ratio: thousandths / 1000 });
      expect(parseBudget(String(bytes))).toEqual({ bytes });
    }),
  );
});

test("a policy is a preset's name or JSON", () => {
  expect(parsePolicy("uniform-4")).toBe("uniform-4");
  expect(parsePolicy('{"precision":{"kind":"uniform","format":"k8v4"},"ring":64}')).toEqual({ precision: { kind: "uniform", format: "k8v4" }, ring: 64 });
  expect(refusal(() => parsePolicy("snappy"))).toContain(`expected ${PRESET_NAMES.join(", ")}, or a JSON object`);
  expect(refusal(() => parsePolicy("{"))).toContain("expected JSON (");
  expect(refusal(() => parsePolicy('{"ring":64}'))).toContain('"precision"');
});

test("a task is automatic's to read, and one of those there are", () => {
  expect(parse("--prompt", "a", "--policy", "auto", "--task", "reasoning").cache).toEqual({ policy: "auto", task: "reasoning" });
  expect(parse("--prompt", "a", "--policy", "auto", "--task", "chat", "--budget", "0.2").cache).toEqual({
    policy: "auto",
    budget: { ratio: 0.2 },
    task: "chat",
  });
});

test.each([
  [["--prompt", "a", "--policy", "auto", "--task", "poetry"], '--task was "poetry", expected chat or reasoning'],
  [["--prompt", "a", "--policy", "auto", "--task", ""], '--task was "", expected chat or reasoning'],
  [["--prompt", "a", "--policy", "lacuna", "--task", "chat"], '--task was "chat", expected --policy auto beside it'],
  [["--prompt", "a", "--task", "reasoning"], '--task was "reasoning", expected --policy auto beside it'],
  [[], "0 prompts given, one expected"],
  [["--prompt", "a", "--prompt-file", "b"], "2 prompts given, one expected"],
  [["--prompt-ids", "a.json", "--chat"], '--chat was "--prompt-ids", expected a text'],
  [["--prompt", "a", "--model", ""], '--model was ""'],
  [["--prompt", "a", "--max-tokens", "0"], "expected a whole number of at least 1"],
  [["--prompt", "a", "--max-tokens", "2.5"], "expected a whole number of at least 1"],
  [["--prompt", "a", "--max-tokens", "many"], '--max-tokens was "many"'],
  [["--prompt", "a", "--temperature=-1"], "expected a number of at least 0"],
  [["--prompt", "a", "--temperature", ""], '--temperature was ""'],
  [["--prompt", "a", "--top-p", "1.01"], "expected a number from 0 to 1"],
  [["--prompt", "a", "--seed", "4294967296"], "expected a whole number from 0 to 4294967295"],
  [["--prompt", "a", "--score", "0"], "expected a whole number of at least 1"],
  [["--prompt", "a", "--without", "fp8"], "expected shader-f16 or subgroups"],
  [["--prompt", "a", "--unknown"], "--unknown"],
  [["--prompt", "a", "b"], "'b'"],
  [["--prompt"], "--prompt"],
])("%j is refused", (argv, words) => {
  const said = refusal(() => parseOptions(argv));
  expect(said).toMatch(/^BAD_OPTION: /);
  expect(said).toContain(words);
  expect(said).toContain("See --help.");
});

test("--help wins over what is missing", () => {
  expect(parseOptions(["--help"])).toBe("help");
  expect(parseOptions(["-h"])).toBe("help");
});

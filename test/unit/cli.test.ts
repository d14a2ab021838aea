// cli: the command with a scripted engine: what goes to stdout and stderr, exit codes, files, and that the engine is always freed.

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { CacheMap, Engine, EngineInfo, GenerateRequest, GenerateResult, LoadRequest, ScoreRequest, ScoreResult } from "../../src/engine-types";
import { EngineError } from "../../src/errors";
import { type CommandHost, main } from "../../src/node/generate";
import { progressPrinter } from "../../src/node/progress";

const INFO: EngineInfo = {
  model: { name: "Tiny", architecture: "qwen2", sha256: "ab", layers: 4, kvHeads: 2, headSize: 32, context: 2048, bytes: 2_400_000 },
  adapter: { description: "scripted", features: ["shader-f16"], software: true },
  loadMs: 12,
};
const COMMON = {
  prompt: { tokens: 3, ids: [1, 2, 3] },
  kv: { bytes: 1000, fullBytes: 4000, peakBytes: 2000, bytesByFormat: { ring: 600, k4v4: 400 }, bytesReadPerToken: 90, slotsKept: 20, slotsEvicted: 4 },
  timings: { prefillMs: 30, decodeMs: 50, prefillTokensPerSecond: 100, decodeTokensPerSecond: 40 },
  perToken: { dispatches: 36, submits: 1, objectsCreated: 0 },
};
const MAP: CacheMap = {
  tokens: 3,
  formats: ["k16v16", "k4v4"],
  layers: [{ heads: [{ positions: Uint32Array.of(0, 2), format: Uint8Array.of(0, 1) }] }],
};
const GENERATED: GenerateResult = { ...COMMON, output: { text: "Hi there", ids: [7, 8], finishReason: "length" } };
const SCORED: ScoreResult = {
  ...COMMON,
  from: 2,
  tokens: [
    { id: 3, logprob: -1, fullLogprob: -0.5, kl: 0.01, top1: true, first: 3, fullFirst: 3 },
    { id: 4, logprob: -2, fullLogprob: -2.5, kl: 0.03, top1: false, first: 4, fullFirst: 5 },
  ],
  meanKl: 0.02,
  top1Agreement: 0.5,
};

/** A test double: remembers what it was asked and answers from the script above. */
class ScriptedHost implements CommandHost {
  out = "";
  err = "";
  terminal = false;
  readonly interrupt = new AbortController();
  readonly signal = this.interrupt.signal;
  loads: LoadRequest[] = [];
  generated: GenerateRequest[] = [];
  scored: ScoreRequest[] = [];
  disposals = 0;
  failLoad: EngineError | undefined;
  failGenerate: Error | undefined;

  stdout(text: string): void {
    this.out += text;
  }

  stderr = (text: string): void => {
    this.err += text;
  };

  async load(request: LoadRequest): Promise<Engine> {
    this.loads.push(request);
    if (this.failLoad) throw this.failLoad;
    const host = this;
    return {
      info: INFO,
      async *generate(request) {
        host.generated.push(request);
        request.onProgress?.({ phase: "prefill", done: 12, total: 12 });
        yield { kind: "prefilled", promptIds: [1, 2, 3], prefillMs: 30, kvBytes: 900 };
        for (const text of ["Hi", " there"]) {
          if (host.failGenerate) throw host.failGenerate;
          yield { kind: "tokens", ids: [7], text, count: 1, kvBytes: 1000, fullBytes: 4000, elapsedMs: 1 };
        }
        yield { kind: "done", result: { ...GENERATED, ...(request.cacheMap && { cacheMap: MAP }) } };
      },
      open: () => Promise.reject(new Error("the command line opens no sessions")),
      async *score(request) {
        host.scored.push(request);
        yield { kind: "scored", tokens: SCORED.tokens };
        yield { kind: "done", result: { ...SCORED, ...(request.cacheMap && { cacheMap: MAP }) } };
      },
      tokenize: async () => [],
      detokenize: async () => [],
      memory: async () => ({ weights: 0, kv: 0, scratch: 0, staging: 0, readback: 0, total: 0, peak: 0 }),
      dispose: async () => void host.disposals++,
    };
  }
}

let host: ScriptedHost;
let folder: string;

beforeEach(async () => {
  host = new ScriptedHost();
  folder = await mkdtemp(join(tmpdir(), "lacuna-cli-"));
});

afterEach(() => rm(folder, { recursive: true }));

test("text streams to stdout, the summary goes to stderr", async () => {
  expect(await main(["--prompt", "Hello", "--max-tokens", "2", "--stop", "x"], host)).toBe(0);
  expect(host.out).toBe("Hi there\n");
  expect(host.err).toContain("prefill 100 % (12/12 layer tokens)\n");
  expect(host.err).toContain("2 new tokens (length)");
  expect(host.err).toContain("cache 0.00 MB (25.0 % of 0.00 MB at 16 bits), 20 slots kept, 4 evicted");
  expect(host.generated).toHaveLength(1);
  expect(host.generated[0]).toMatchObject({ prompt: { text: "Hello" }, maxTokens: 2, stop: ["x"], cacheMap: false });
  expect(host.disposals).toBe(1);
});

test("--json prints exactly one object of the promised shape", async () => {
  expect(await main(["--prompt", "Hello", "--json", "--policy", "full", "--seed", "3"], host)).toBe(0);
  expect(host.out.endsWith("}\n")).toBe(true);
  expect(JSON.parse(host.out)).toEqual({
    model: { name: "Tiny", architecture: "qwen2", sha256: "ab", layers: 4, kvHeads: 2, headSize: 32 },
    adapter: { description: "scripted", features: ["shader-f16"] },
    prompt: { tokens: 3, ids: [1, 2, 3] },
    output: { text: "Hi there", ids: [7, 8], finishReason: "length" },
    kv: COMMON.kv,
    timings: { loadMs: 12, prefillMs: 30, decodeMs: 50, prefillTokensPerSecond: 100, decodeTokensPerSecond: 40 },
    perToken: { dispatches: 36, submits: 1, objectsCreated: 0 },
  });
  expect(host.generated[0]).toMatchObject({ policy: "full", seed: 3 });
});

test("--calibration hands its file to the load; one that is not there is told before", async () => {
  const path = join(folder, "my.calibration");
  expect(await main(["--prompt", "Hello", "--calibration", path], host)).toBe(1);
  expect(host.err).toMatch(/^STORAGE: .*my\.calibration could not be read \(ENOENT\)/);
  expect(host.loads).toEqual([]);
  await writeFile(path, Uint8Array.of(1, 2, 3));
  expect(await main(["--prompt", "Hello", "--calibration", path], host)).toBe(0);
  expect(await main(["--prompt", "Hello"], host)).toBe(0);
  expect(host.loads.map(({ calibration }) => calibration)).toEqual([Uint8Array.of(1, 2, 3), undefined]);
});

test("--score sends the first forced token and prints one entry per token", async () => {
  expect(await main(["--prompt", "Hello", "--score", "2", "--budget", "64KiB", "--policy", "rate-distortion", "--json"], host)).toBe(0);
  expect(host.generated).toEqual([]);
  expect(host.scored[0]).toMatchObject({ from: 2, budget: { bytes: 65_536 }, policy: "rate-distortion" });
  const printed = JSON.parse(host.out);
  expect(printed.score).toEqual({
    from: 2,
    logprobs: [-1, -2],
    fullLogprobs: [-0.5, -2.5],
    kl: [0.01, 0.03],
    top1: [true, false],
    meanKl: 0.02,
    top1Agreement: 0.5,
  });
  expect(printed.output).toEqual({ text: "", ids: [], finishReason: "length" });
});

test("--chat makes a user's message of a file; without it the text is raw, byte for byte", async () => {
  const path = join(folder, "prompt.txt");
  await writeFile(path, "<|im_end|> é\n");
  await main(["--prompt-file", path, "--chat"], host);
  await main(["--prompt-file", path], host);
  expect(host.generated.map(({ prompt }) => prompt)).toEqual([{ messages: [{ role: "user", content: "<|im_end|> é\n" }] }, { text: "<|im_end|> é\n" }]);
});

test("--prompt-ids reads an array of ids", async () => {
  const path = join(folder, "ids.json");
  await writeFile(path, "[5, 0, 12]");
  expect(await main(["--prompt-ids", path], host)).toBe(0);
  expect(host.generated[0]?.prompt).toEqual({ ids: [5, 0, 12] });
});

test.each(["", "{}", "[1, -2]", "[1.5]", '["a"]'])("--prompt-ids refuses %j before a model is loaded", async (text) => {
  const path = join(folder, "ids.json");
  await writeFile(path, text);
  expect(await main(["--prompt-ids", path, "--json"], host)).toBe(1);
  expect(JSON.parse(host.out).error).toMatchObject({ code: "BAD_OPTION", option: "--prompt-ids", expected: "a JSON array of token ids" });
  expect(host.loads).toEqual([]);
});

test("--cache-map writes every kept position with its format", async () => {
  const path = join(folder, "map.json");
  expect(await main(["--prompt", "Hello", "--cache-map", path], host)).toBe(0);
  expect(host.generated[0]?.cacheMap).toBe(true);
  expect(JSON.parse(await readFile(path, "utf8"))).toEqual({ tokens: 3, layers: [{ heads: [{ positions: [0, 2], formats: ["k16v16", "k4v4"] }] }] });
});

test("a failure is an object under --json and a legible line otherwise; stdout holds nothing else", async () => {
  host.failLoad = new EngineError("NOT_GGUF", "x.gguf starts with 0x50, expected GGUF. Choose another file.", { found: "0x50", expected: "GGUF" });
  expect(await main(["--prompt", "Hello", "--json"], host)).toBe(1);
  expect(JSON.parse(host.out)).toEqual({ error: { code: "NOT_GGUF", message: host.failLoad.message, found: "0x50", expected: "GGUF" } });
  host.out = "";
  expect(await main(["--prompt", "Hello"], host)).toBe(1);
  expect(host.out).toBe("");
  expect(host.err).toContain("NOT_GGUF: x.gguf starts with 0x50, expected GGUF. Choose another file.\n");
  expect(host.disposals).toBe(0);
});

test("a bad option under --json is an object too, and loads nothing", async () => {
  expect(await main(["--json", "--budget", "x", "--prompt", "a"], host)).toBe(1);
  expect(JSON.parse(host.out).error).toMatchObject({ code: "BAD_OPTION", option: "--budget", found: "x" });
  expect(host.loads).toEqual([]);
});

test("an engine that fails in mid-stream is disposed; an unknown error becomes INTERNAL", async () => {
  host.failGenerate = new TypeError("boom");
  expect(await main(["--prompt", "Hello", "--json"], host)).toBe(1);
  expect(JSON.parse(host.out)).toEqual({ error: { code: "INTERNAL", message: "boom" } });
  expect(host.disposals).toBe(1);
});

test("an interrupt reaches the engine and is exit code 130", async () => {
  host.interrupt.abort();
  expect(await main(["--prompt", "Hello"], host)).toBe(130);
  expect(host.generated[0]?.signal?.aborted).toBe(true);
});

test("a missing prompt file is named", async () => {
  expect(await main(["--prompt-file", join(folder, "none.txt")], host)).toBe(1);
  expect(host.err).toMatch(/^STORAGE: .*none\.txt could not be read \(ENOENT\)/);
});

test("--help goes to stdout and names every option", async () => {
  expect(await main(["--help"], host)).toBe(0);
  for (const option of [
    "--model",
    "--prompt-file",
    "--prompt-ids",
    "--chat",
    "--policy",
    "--budget",
    "--max-tokens",
    "--temperature",
    "--seed",
    "--score",
    "--cache-map",
    "--json",
  ])
    expect(host.out).toContain(option);
});

test("progress redraws one line on a terminal and prints start and end elsewhere", () => {
  const steps = [0, 1e6, 2e6].map((done) => ({ phase: "download", done, total: 2e6 }) as const);
  let plain = "";
  const toFile = progressPrinter((text) => (plain += text), false);
  for (const step of [...steps, ...steps.slice(-1)]) toFile(step);
  expect(plain).toBe("download 0 % (0.0/2.0 MB)\ndownload 100 % (2.0/2.0 MB)\n");
  let drawn = "";
  const toTerminal = progressPrinter((text) => (drawn += text), true);
  for (const step of steps) toTerminal(step);
  expect(drawn.startsWith("\r\x1b[Kdownload 0 %")).toBe(true);
  expect(drawn.endsWith("\r\x1b[Kdownload 100 % (2.0/2.0 MB)\n")).toBe(true);
});

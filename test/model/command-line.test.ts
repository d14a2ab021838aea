// command-line: the command as a person runs it: a process of its own, the real engine, one JSON object on stdout, files, exit codes.

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { root, vulkanEnvironment } from "../../scripts/machine.mjs";
import { goldenTexts } from "./tiny-engine";

const { short, long } = goldenTexts();
const folder = mkdtempSync(join(tmpdir(), "lacuna-command-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...args: string[]): Promise<Finished> {
  const words = ["scripts/run.mjs", "src/node/generate.ts", "--model", "tiny", ...args];
  return new Promise((resolve) => {
    const child = execFile(process.execPath, words, { cwd: root, env: { ...process.env, ...vulkanEnvironment() }, maxBuffer: 1 << 26 }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** Runs with --json; stdout must be one line that holds one object. */
async function runJson(...args: string[]): Promise<Finished & { readonly json: Record<string, unknown> }> {
  const finished = await run("--json", ...args);
  expect(finished.stdout, finished.stderr).toMatch(/^\{.*\}\n$/);
  return { ...finished, json: JSON.parse(finished.stdout) };
}

function idsFile(name: string, ids: readonly number[]): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(ids));
  return path;
}

const number = expect.any(Number);
const KV = {
  bytes: number,
  fullBytes: number,
  peakBytes: number,
  bytesByFormat: expect.any(Object),
  bytesReadPerToken: number,
  slotsKept: number,
  slotsEvicted: number,
};
const COMMON = {
  model: { name: "tiny", architecture: "qwen2", sha256: expect.stringMatching(/^[0-9a-f]{64}$/), layers: 4, kvHeads: 2, headSize: 32 },
  adapter: { description: expect.any(String), features: expect.any(Array) },
  kv: KV,
  timings: { loadMs: number, prefillMs: number, decodeMs: number, prefillTokensPerSecond: number, decodeTokensPerSecond: number },
  perToken: { dispatches: number, submits: 1, objectsCreated: 0 },
};

describe("generating", () => {
  test("ids from a file, greedy: every promised field and no other, PyTorch's ids", async () => {
    const { code, json, stderr } = await runJson("--prompt-ids", idsFile("short.json", short.ids), "--max-tokens", "32", "--temperature", "0", "--seed", "1");
    expect(json).toEqual({
      ...COMMON,
      prompt: { tokens: 64, ids: short.ids },
      output: { text: expect.any(String), ids: short.greedyIds, finishReason: "length" },
    });
    expect(code).toBe(0);
    expect(stderr).toContain("prefill 100 %");
  });

  test("a compressed cache and its map on disk", async () => {
    const map = join(folder, "map.json");
    const { json } = await runJson(
      ...["--prompt-ids", idsFile("long.json", long.ids), "--policy", "rate-distortion", "--budget", "0.25", "--max-tokens", "20", "--cache-map", map],
    );
    const { bytes, fullBytes, slotsKept, slotsEvicted } = json.kv as Record<keyof typeof KV, number>;
    expect(bytes).toBeLessThanOrEqual(0.25 * 532 * (fullBytes / 531));
    const written = JSON.parse(readFileSync(map, "utf8")) as { tokens: number; layers: { heads: { positions: number[]; formats: string[] }[] }[] };
    const heads = written.layers.flatMap((layer) => layer.heads);
    expect(written.tokens).toBe(531);
    expect(heads).toHaveLength(8);
    expect(heads.reduce((sum, { positions }) => sum + positions.length, 0)).toBe(slotsKept);
    expect(slotsKept + slotsEvicted).toBe(531 * 8);
    for (const { positions, formats } of heads) {
      expect(formats).toHaveLength(positions.length);
      expect(positions.slice(0, 4)).toEqual([0, 1, 2, 3]);
      expect(positions.at(-1)).toBe(530);
    }
  });

  test("text streams as it is, special tokens in raw text are parsed, in a chat they are not", async () => {
    const raw = await runJson("--prompt", "<|user|>Hello<|assistant|>", "--max-tokens", "1");
    const chat = await runJson("--prompt", "<|user|>Hello<|assistant|>", "--chat", "--max-tokens", "1");
    const rawIds = (raw.json.prompt as { ids: number[] }).ids;
    const chatIds = (chat.json.prompt as { ids: number[] }).ids;
    const special = rawIds[rawIds.length - 1];
    expect(rawIds.filter((id) => id === special)).toHaveLength(1);
    expect(
      chatIds.filter((id) => id === special),
      "the template's own",
    ).toHaveLength(1);
    expect(chatIds.length).toBeGreaterThan(rawIds.length + 4);
    const plain = await run("--prompt-ids", idsFile("plain.json", short.ids), "--max-tokens", "8");
    const json = await runJson("--prompt-ids", idsFile("plain.json", short.ids), "--max-tokens", "8");
    expect(plain).toMatchObject({ code: 0, stdout: `${(json.json.output as { text: string }).text}\n` });
  });
});

test("scoring: one figure per forced token, the full cache's beside it", async () => {
  const { code, json } = await runJson("--prompt-ids", idsFile("score.json", long.ids), "--policy", "uniform-4", "--score", "480");
  const arrays = (json.score as Record<string, unknown[]>) ?? {};
  expect(json).toEqual({
    ...COMMON,
    prompt: { tokens: 512, ids: long.ids },
    output: { text: "", ids: [], finishReason: "length" },
    score: {
      from: 480,
      logprobs: expect.any(Array),
      fullLogprobs: expect.any(Array),
      kl: expect.any(Array),
      top1: expect.any(Array),
      meanKl: number,
      top1Agreement: number,
    },
  });
  for (const name of ["logprobs", "fullLogprobs", "kl", "top1"]) expect(arrays[name], name).toHaveLength(32);
  expect(code).toBe(0);
});

describe("failing", () => {
  test.for([
    ["BAD_OPTION", ["--prompt", "x", "--temperature", "hot"]],
    ["BAD_OPTION", ["--prompt", "x", "--policy", "rate-distortion"]],
    ["BUDGET_TOO_SMALL", ["--prompt", "x", "--policy", "rate-distortion", "--budget", "5KiB"]],
    ["UNKNOWN_MODEL", ["--prompt", "x", "--model", "unheard-of"]],
    ["STORAGE", ["--prompt", "x", "--model", "no/such/file.gguf"]],
    ["STORAGE", ["--prompt-file", "no/such/prompt.txt"]],
    ["CONTEXT_FULL", ["--prompt", "far too long a prompt for the eight positions that there are", "--context", "8"]],
    ["NOT_GGUF", ["--prompt", "x", "--model", "FOLDER/text.gguf"]],
  ] as const)("%s: %o", async ([expected, args]) => {
    writeFileSync(join(folder, "text.gguf"), "not a model at all, just some text");
    const { code, json } = await runJson(...args.map((word) => word.replace("FOLDER", folder)));
    expect(json).toEqual({ error: expect.objectContaining({ code: expected, message: expect.any(String) }) });
    expect(code).not.toBe(0);
  });

  test("without --json the error goes to stderr and stdout stays empty", async () => {
    const { code, stdout, stderr } = await run("--prompt", "x", "--budget", "-1");
    expect(code).not.toBe(0);
    expect(stdout).toBe("");
    expect(stderr).toContain("BAD_OPTION");
  });
});

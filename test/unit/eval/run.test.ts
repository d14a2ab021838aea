// run: the command with a made-up engine: what is measured, what is kept, that a killed run goes on, what is printed and refused.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { PRESET_NAMES } from "../../../src/policy/presets";
import { CellFile, cellKey, codeHash } from "../../eval/cells";
import { type EvalHost, main } from "../../eval/main";
import { candidatesOf, FULL } from "../../eval/options";
import type { Row } from "../../eval/rows";
import { groups } from "../../eval/run";
import { type FakeEngine, fakeEngine } from "./fake-engine";

let folder: string;
let engine: FakeEngine;
let out: string;
let err: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lacuna-eval-"));
  engine = fakeEngine();
});
afterEach(() => rmSync(folder, { recursive: true }));

async function run(words: string, change: Partial<EvalHost> = {}): Promise<number> {
  out = "";
  err = "";
  return main(words.split(" "), {
    load: async () => engine,
    cells: new CellFile(join(folder, "cells.jsonl")),
    code: "code 1",
    stdout: (text) => (out += text),
    stderr: (text) => (err += text),
    terminal: false,
    signal: new AbortController().signal,
    ...change,
  });
}

function rows(): Row[] {
  return (JSON.parse(out) as { rows: Row[] }).rows;
}

const TWO = "--task passkey --length 900 --policy rate-distortion,uniform-4 --budget 0.25,0.125 --samples 2";

test("one object: the full cache first, then what needs no budget, then budget by budget", async () => {
  expect(await run(`${TWO} --json`)).toBe(0);
  expect(out).toMatch(/^\{.*\}\n$/);
  expect(rows().map(({ policy, budget }) => [policy, budget])).toEqual([
    ["full", 1],
    ["uniform-4", null],
    ["rate-distortion", 0.25],
    ["rate-distortion", 0.125],
  ]);
  const [full, , quarter] = rows();
  expect(full).toMatchObject({ task: "passkey", kind: "facts", length: 900, samples: 2, score: 1, meanKl: 0, top1Agreement: 1, perplexityRatio: 1 });
  expect(quarter?.meanKl).toBeCloseTo(0.04, 12);
  expect(quarter?.perplexityRatio).toBeCloseTo(Math.E, 12);
  expect(quarter?.score).toBe(0); // an answer with an odd letter is no answer
  expect(quarter?.top1Agreement).toBeGreaterThan(0);
  expect(quarter?.kvBytes).toBe(Math.round((quarter?.fullBytes ?? 0) / 4));
  expect(quarter?.peakBytes).toBe(1e6 + 250);
  expect(quarter?.evicted).toBe(750);
  expect(quarter?.decodeTokensPerSecond).toBeGreaterThan(0);
});

test("prose counts the tokens that are guessed right", async () => {
  await run("--task forced --length 300 --policy uniform-4 --samples 1 --json");
  const [prose, facts] = rows().filter(({ policy }) => policy === "uniform-4");
  expect([prose?.kind, facts?.kind]).toEqual(["prose", "facts"]);
  expect(prose?.score).toBe(prose?.top1Agreement);
  expect(prose?.score).toBeGreaterThan(0.2);
  expect(prose?.score).toBeLessThan(0.8);
});

test("policies of a sample share a pass, as many as --together says", async () => {
  await run(`${TWO} --together 2`);
  expect(engine.calls).toEqual([["uniform-4", "rate-distortion"], ["rate-distortion"], ["uniform-4", "rate-distortion"], ["rate-distortion"]]);
  await run(`${TWO} --fresh`);
  expect(engine.calls.slice(4)).toEqual([
    ["uniform-4", "rate-distortion", "rate-distortion"],
    ["uniform-4", "rate-distortion", "rate-distortion"],
  ]);
});

test("a killed run goes on where it stopped, and gives the same rows", async () => {
  await run(`${TWO} --json`, { cells: new CellFile(join(folder, "whole.jsonl")) });
  const whole = out;
  engine.calls.length = 0;
  engine.before = () => {
    if (engine.calls.length === 1) throw new Error("killed");
  };
  expect(await run(`${TWO} --json`)).toBe(1);
  writeFileSync(join(folder, "cells.jsonl"), `${readFileSync(join(folder, "cells.jsonl"), "utf8")}{"key":"half a li`);
  delete engine.before;
  expect(await run(`${TWO} --json`)).toBe(0);
  expect(engine.calls).toHaveLength(2); // one sample each time
  expect(err).toContain("4 of 8 are kept from an earlier run");
  expect(out).toBe(whole);
  await run(TWO);
  expect(engine.calls).toHaveLength(2);
});

test("a kept figure holds for its model, code, policy, budget and sample alone", async () => {
  await run(TWO);
  const measured = async (words: string, change: Partial<EvalHost> = {}): Promise<number> => {
    const before = engine.calls.length;
    await run(words, change);
    return engine.calls.length - before;
  };
  expect(await measured(TWO)).toBe(0);
  expect(await measured(TWO, { code: "code 2" })).toBe(2);
  expect(await measured(`${TWO} --seed 2`)).toBe(2);
  expect(await measured(`${TWO} --visible`)).toBe(2);
  expect(await measured(TWO.replace("900", "1200"))).toBe(2);
  expect(await measured(TWO.replace("0.25,0.125", "0.25"))).toBe(0);
  expect(await measured(TWO.replace("0.25", "0.5"))).toBe(2);
  expect(await measured(TWO.replace("samples 2", "samples 3"))).toBe(1);
  expect(
    await measured(TWO.replace("rate-distortion", '{"score":{"kind":"ensemble"},"budget":{"kind":"shares"},"precision":{"kind":"rate-distortion"},"sinks":8}')),
  ).toBe(2);
});

test("no two policies share a figure, though automatic has the full cache's formats and neither has a budget", async () => {
  const sample = { name: "s", ids: [1, 2, 3], from: 2, values: [], compare: "all" } as const;
  const candidates = [FULL, ...candidatesOf(["all"], ["0.25", "0.125"])];
  const keys = candidates.map((candidate) => cellKey({ model: "m", code: "c" }, candidate, sample));
  expect(candidates.map(({ policy }) => policy)).toEqual(expect.arrayContaining([...PRESET_NAMES]));
  expect(new Set(keys).size).toBe(candidates.length);
  await run("--task passkey --length 900 --policy auto --samples 1 --json");
  expect(rows()).toMatchObject([
    { policy: "full", score: 1, meanKl: 0 },
    { policy: "auto", score: 0, meanKl: expect.closeTo(0.02, 12) },
  ]);
});

test("a calibration of the caller's own reaches the load, and its figures are kept apart", async () => {
  const given: unknown[] = [];
  const load: EvalHost["load"] = async ({ calibration }) => {
    given.push(calibration);
    return engine;
  };
  await run(TWO, { load });
  for (const byte of [1, 2]) {
    writeFileSync(join(folder, `${byte}.calibration`), Uint8Array.of(byte));
    const before = engine.calls.length;
    for (let turn = 0; turn < 2; turn++) await run(`${TWO} --calibration ${join(folder, `${byte}.calibration`)}`, { load });
    expect(engine.calls.length - before, "measured once").toBe(2);
  }
  expect(given).toEqual([undefined, Uint8Array.of(1), Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(2)]);
  expect(await run(`${TWO} --calibration ${join(folder, "none")}`, { load })).toBe(1);
  expect(err).toContain("STORAGE: ");
});

test("only what is missing is run: the full cache beside itself at worst", () => {
  const work = (policy: string) => ({ candidate: policy === "full" ? FULL : { policy, budget: null, options: {} } });
  const names = (items: ReturnType<typeof work>[], together: number): string[][] =>
    groups(items, together).map((group) => group.map(({ candidate }) => candidate.policy));
  expect(names([work("full"), work("a"), work("b"), work("c")], 2)).toEqual([["full", "a", "b"], ["c"]]);
  expect(names([work("a")], 2)).toEqual([["a"]]);
  expect(names([work("full")], 2)).toEqual([["full"]]);
  expect(names([], 2)).toEqual([]);
});

test("people get a table, and a line a sample on the way", async () => {
  await run("--task forced --length 300 --policy rate-distortion --budget 0.25,20kB --samples 1");
  expect(out).toContain("forced, prose: 300 tokens, 1 sample\n");
  expect(out).toMatch(/policy +budget +bytes +kv KiB +read +score +KL +top-1 +ppl ratio +evicted +peak MiB +tokens\/s/);
  expect(out).toMatch(/rate-distortion +25 % +25\.0 % +12 +\d+\.\d % +0\.\d+ +0\.040 /);
  expect(out).toMatch(/rate-distortion +20 KiB +50\.0 %/);
  expect(err).toContain("[############............] 3/6");
  expect(err).toContain("[########################] 6/6 0 s left forced-facts 0");
});

test("the picture is written, folders and all", async () => {
  const path = join(folder, "made/plot.svg");
  expect(await run(`${TWO} --plot ${path}`)).toBe(0);
  expect(readFileSync(path, "utf8")).toMatch(/^<svg .*<\/svg>\n$/s);
});

test("what is refused ends with exit code 1, under --json as an object", async () => {
  expect(await run("--task passkey --policy h3o --json")).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ error: { code: "BAD_OPTION", option: "--policy", found: "h3o" } });
  expect(await run("--task passkey --policy h3o")).toBe(1);
  expect([out, err]).toEqual(["", expect.stringContaining("BAD_OPTION: --policy")]);
  expect(await run(`${TWO.replace("0.25", "0.001")} --json`)).toBe(1);
  expect(JSON.parse(out)).toMatchObject({
    error: { code: "BUDGET_TOO_SMALL", policy: "rate-distortion", budget: 0.001, message: "rate-distortion at budget 0.001: Too small." },
  });
  expect(engine.calls).toEqual([]);
  engine = fakeEngine(900);
  expect(await run("--task forced --length 800 --policy full --json")).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ error: { code: "CONTEXT_FULL", option: "--length", found: 992, expected: 899 } });
  expect(await run(`${TWO} --plot ${join(folder, "cells.jsonl")}/x.svg --json`)).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ error: { code: "STORAGE" } });
  expect(existsSync(join(folder, "x.svg"))).toBe(false);
});

test("help", async () => {
  expect(await run("--help")).toBe(0);
  expect(out).toContain("kv-retrieval");
});

test("the code's hash is of what runs: another shader or calibration, another hash; other files are nothing to it", () => {
  for (const part of ["src/gpu", "shaders", "models"]) mkdirSync(join(folder, part), { recursive: true });
  const hashes = ["src/gpu/a.ts", "shaders/b.wgsl", "models/c.calibration"].map((name) => {
    writeFileSync(join(folder, name), name);
    return codeHash(folder);
  });
  expect(new Set(hashes).size).toBe(3);
  writeFileSync(join(folder, "models/notes.md"), "notes");
  expect(codeHash(folder)).toBe(hashes[2]);
  writeFileSync(join(folder, "shaders/b.wgsl"), "other");
  expect(hashes).not.toContain(codeHash(folder));
  expect(codeHash()).toBe(codeHash());
});

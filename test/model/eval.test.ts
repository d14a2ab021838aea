// eval: `npm run eval` on the tiny model: rows with every promised field, and figures that the engine gives when it is asked directly, one policy at a time.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ToolEngine } from "../../src/engine";
import type { ScoredToken } from "../../src/engine-types";
import { CellFile } from "../eval/cells";
import { main } from "../eval/main";
import type { Row } from "../eval/rows";
import { sampleMaker } from "../eval/run";
import { makeSample, type Sample, type SampleRequest } from "../eval/samples";
import { generateAll, loadTiny, scoreAll } from "./tiny-engine";

const folder = mkdtempSync(join(tmpdir(), "lacuna-eval-"));
let engine: ToolEngine;
beforeAll(async () => {
  engine = await loadTiny();
});
afterAll(async () => {
  await engine.dispose();
  rmSync(folder, { recursive: true });
});

async function rows(...words: string[]): Promise<Row[]> {
  let out = "";
  const code = await main([...words, "--json"], {
    load: async () => ({
      info: engine.info,
      tokenize: (prompt) => engine.tokenize(prompt),
      scoreMany: (request) => engine.scoreMany(request),
      checkCaches: (caches, tokens) => engine.checkCaches(caches, tokens),
      dispose: async () => {},
    }),
    cells: new CellFile(join(folder, "cells.jsonl")),
    code: "this",
    stdout: (text) => (out += text),
    stderr: () => {},
    terminal: false,
    signal: new AbortController().signal,
  });
  expect(code, out).toBe(0);
  return (JSON.parse(out) as { rows: Row[] }).rows;
}

async function sampleOf(change: Partial<SampleRequest>): Promise<Sample> {
  const maker = await sampleMaker(engine, engine.info.model.sha256);
  return makeSample(maker, { task: "multikey", kind: "facts", length: 200, hidden: true, seed: 1, index: 0, count: 1, ...change });
}

/** Bytes of the 16-bit cache for all tokens: what ratios are ratios of. The last one is never run, so a report has one less. */
function fullOf(row: Row | undefined, ids: readonly number[]): number {
  return ((row?.fullBytes ?? Number.NaN) * ids.length) / (ids.length - 1);
}

const mean = (tokens: readonly ScoredToken[], of: (token: ScoredToken) => number): number => tokens.reduce((sum, token) => sum + of(token), 0) / tokens.length;

const number = expect.any(Number);
const POLICIES = ["rate-distortion", "expected-attention"] as const;

test("two policies at one budget: what is promised, and what engine.score says of each alone", async () => {
  const found = await rows(..."--task multikey --length 200 --budget 0.25 --samples 1 --policy".split(" "), POLICIES.join(","));
  expect(found.map(({ policy }) => policy)).toEqual(["full", ...POLICIES]);
  for (const row of found)
    expect(row).toEqual({
      ...{
        policy: expect.any(String),
        budget: number,
        task: "multikey",
        kind: "facts",
        length: 200,
        samples: 1,
        score: number,
        meanKl: number,
        top1Agreement: number,
      },
      ...{ perplexityRatio: number, kvBytes: number, fullBytes: number, readBytes: number, peakBytes: number, evicted: number, decodeTokensPerSecond: number },
    });
  const { ids, from, values } = await sampleOf({});
  for (const policy of POLICIES) {
    const row = found.find((other) => other.policy === policy);
    const direct = await scoreAll(engine, { prompt: { ids }, from, policy, budget: { ratio: 0.25 } });
    const answer = values.flatMap(([start, end]) => direct.tokens.slice(start - from, end - from));
    expect(row).toMatchObject({
      meanKl: mean(answer, ({ kl }) => kl),
      top1Agreement: mean(answer, ({ top1 }) => (top1 ? 1 : 0)),
      perplexityRatio: Math.exp(mean(answer, ({ logprob, fullLogprob }) => fullLogprob - logprob)),
      score: answer.every(({ first, id }) => first === id) ? 1 : 0,
      kvBytes: direct.kv.bytes,
      readBytes: Math.round(direct.kv.bytesReadPerToken),
      fullBytes: direct.kv.fullBytes,
      evicted: direct.kv.slotsEvicted,
    });
    expect(row?.kvBytes).toBeLessThanOrEqual(0.25 * fullOf(row, ids));
    expect(row?.decodeTokensPerSecond).toBeGreaterThan(0);
  }
  expect(found[0]).toMatchObject({ meanKl: 0, top1Agreement: 1, perplexityRatio: 1, evicted: 0 });
});

test("a score is what greedy decoding would have written", async () => {
  const { ids, from, values } = await sampleOf({ task: "passkey", length: 200 });
  const [[start, end] = [0, 0]] = values;
  for (const row of await rows(..."--task passkey --length 200 --budget 0.3,0.2 --samples 1 --policy rate-distortion,expected-attention".split(" "))) {
    const budget = { bytes: Math.floor((row.budget ?? 1) * fullOf(row, ids)) }; // the ratio the rows have, whatever is generated
    const policy = row.policy as (typeof POLICIES)[number];
    const { output } = await generateAll(engine, { prompt: { ids: ids.slice(0, start) }, from, policy, budget, maxTokens: end - start });
    expect([row.policy, row.budget, row.score]).toEqual([row.policy, row.budget, output.ids.join() === ids.slice(start, end).join() ? 1 : 0]);
  }
});

test("a peak is that of the policy alone, although others ran beside it", async () => {
  const { ids, from } = await sampleOf({});
  for (const row of await rows(..."--task multikey --length 200 --budget 0.25 --samples 1 --policy".split(" "), POLICIES.join(","))) {
    const budget = { bytes: Math.floor((row.budget ?? 1) * fullOf(row, ids)) };
    const alone = await generateAll(engine, { prompt: { ids: ids.slice(0, -1) }, from, policy: row.policy as (typeof POLICIES)[number], budget, maxTokens: 1 });
    expect([row.policy, row.peakBytes]).toEqual([row.policy, alone.kv.peakBytes]);
  }
});

test("forced text is compared as a whole", async () => {
  const { ids, from } = await sampleOf({ task: "forced", kind: "prose", length: 64 });
  const [, row] = await rows(..."--task forced --kind prose --length 64 --samples 1 --policy uniform-4".split(" "));
  const direct = await scoreAll(engine, { prompt: { ids }, from, policy: "uniform-4" });
  expect(row).toMatchObject({
    meanKl: direct.meanKl,
    top1Agreement: direct.top1Agreement,
    score: mean(direct.tokens, ({ first, id }) => (first === id ? 1 : 0)),
  });
});

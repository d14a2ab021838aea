// pairs: how much faster one policy is than another, measured in turns within one run, so that what else the machine does meets both: fastkv's prompts against
// ordinary ones, and answers that read little of what is held against the full cache's. Ratios alone: speeds by themselves are the speed section's.

import { readUsage } from "../../src/cache/cache-report";
import { fullBytesPerToken } from "../../src/cache/page-layout";
import type { CacheOptions, PolicySpec } from "../../src/engine-types";
import { resolveSampling } from "../../src/generate/sampling-options";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import { PRESETS } from "../../src/policy/presets";
import type { BenchModel } from "./bench-model";
import { median, percent } from "./section";

export interface PairRow {
  readonly model: string;
  readonly what: "prompt" | "answer";
  /** Of the prompt. */
  readonly tokens: number;
  readonly policy: string;
  readonly against: string;
  readonly rounds: number;
  /** Time of the other over the policy's own, round by round: above 1 the policy is the faster. */
  readonly least: number;
  readonly median: number;
  readonly most: number;
  /** Bytes that attention reads for a token of the answer, over the full cache's of as many tokens. */
  readonly read?: number;
}

/** Prompts of these pairs; a model is opened for that many and the answer. */
const PROMPTS = { prompt: [1024], answer: [1024, 2048] } as const;
/** Tokens of an answer that are timed at a stretch: two compressions of every layer's ring. */
const STRETCH = 16;
export const PAIR_CONTEXT = 2048 + 512;
/** Policies whose answers are timed against the full cache's. */
const ANSWERS: readonly Contender[] = [
  ...(["quest", "rocketkv", "rocketkv-mt"] as const).map((policy) => ({ name: policy, options: { policy } })),
  ...[0.3, 0.2, 0.1].map((ratio) => ({ name: `agacc ${ratio}`, options: { policy: "agacc" as const, budget: { ratio } } })),
];

export interface Contender {
  readonly name: string;
  readonly options: CacheOptions;
}

const ordinary: PolicySpec = { ...PRESETS.fastkv.spec, propagate: { ...PRESETS.fastkv.spec.propagate, rate: 1 } };
const { propagate: _, ...unnarrowed } = PRESETS.fastkv.spec;

/**
 * Rows of one model; `ids` are repeated to the length that is wanted.
 * Throws where a policy that reads or lets through everything does not do what it is compared with.
 */
export async function measurePairs(model: BenchModel, ids: readonly number[], runs: number, say: (line: string) => void): Promise<PairRow[]> {
  await checkSame(model, ids);
  say(`  ${model.name}: fastkv that lets all tokens through and quest that reads all put the same tokens first as without`);
  const rows: PairRow[] = [];
  const keep = (row: PairRow): void => {
    rows.push(row);
    say(`  ${describePair(row).join("  ")}`);
  };
  for (const tokens of PROMPTS.prompt) for (const row of await measurePrompts(model, repeated(ids, tokens), runs)) keep(row);
  for (const tokens of PROMPTS.answer) for (const row of await measureAnswers(model, repeated(ids, tokens), runs, ANSWERS)) keep(row);
  return rows;
}

/** Cells: what, prompt, times as fast (median, least, most), bytes read. */
export function describePair({ model, what, tokens, policy, against, least, median: middle, most, read }: PairRow): string[] {
  return [
    `${model}, ${what}: ${policy} against ${against}`,
    String(tokens),
    ...[middle, least, most].map((ratio) => ratio.toFixed(2)),
    read === undefined ? "" : percent(read),
  ];
}

/** What the pairs have in common must not differ: otherwise their times say nothing. */
async function checkSame(model: BenchModel, ids: readonly number[]): Promise<void> {
  const budget = { ratio: 1 };
  const all: PolicySpec = { precision: { kind: "uniform", format: "k16v16" }, read: { kind: "quest", tokens: 1 << 20, dense: 0 } };
  for (const [one, other] of [
    [
      { policy: ordinary, budget },
      { policy: unnarrowed, budget },
    ],
    [{ policy: all }, { policy: "full" }],
  ] as const satisfies readonly (readonly [CacheOptions, CacheOptions])[]) {
    const [got, want] = [await greedy(model, one, ids), await greedy(model, other, ids)];
    if (got.join() !== want.join())
      throw new Error(`${model.name}: ${JSON.stringify(one.policy)} gives ${got.join(" ")}, ${JSON.stringify(other.policy)} ${want.join(" ")}.`);
  }
}

/** The first eight tokens of an answer. */
async function greedy(model: BenchModel, options: CacheOptions, ids: readonly number[]): Promise<number[]> {
  const side = await open(model, options, ids.length, 16);
  try {
    const { decoder, sequence } = side;
    await prefill(model.transformer, ids, [sequence.target()], decoder.first());
    const said: number[] = [];
    for (let index = 0; index < 8; index++) {
      said.push((await decoder.take()).id);
      decoder.step();
    }
    await decoder.take();
    return said;
  } finally {
    side.dispose();
  }
}

/** fastkv's prompt against that of its own score and budget without propagation, and against the full cache's. */
async function measurePrompts(model: BenchModel, ids: readonly number[], runs: number): Promise<PairRow[]> {
  const sides: Readonly<Record<string, CacheOptions>> = {
    fastkv: { policy: "fastkv" },
    "the same without propagation": { policy: unnarrowed, budget: { ratio: 0.1 } },
    full: { policy: "full" },
  };
  const times: Record<string, number[]> = {};
  for (let round = 0; round <= runs; round++)
    for (const [name, options] of Object.entries(sides)) {
      const { sequence, dispose } = await open(model, options, ids.length, 64);
      const started = performance.now();
      await prefill(model.transformer, round === 0 ? ids.slice(0, 96) : ids, [sequence.target()], { step: {}, record: () => {} }); // the first one warms up
      await model.gpu.idle();
      if (round > 0) (times[name] ??= []).push(performance.now() - started);
      dispose();
    }
  const others = Object.keys(sides).slice(1);
  return others.map((against) => pairOf({ model: model.name, what: "prompt", tokens: ids.length, policy: "fastkv", against }, times.fastkv, times[against]));
}

/** Answers after one pass over the prompt for all of them: a stretch of each in turns. */
export async function measureAnswers(model: BenchModel, ids: readonly number[], runs: number, contenders: readonly Contender[]): Promise<PairRow[]> {
  const all: readonly Contender[] = [{ name: "full", options: { policy: "full" } }, ...contenders];
  const sides: Awaited<ReturnType<typeof open>>[] = [];
  try {
    for (const { options } of all) sides.push(await open(model, options, ids.length, STRETCH * (runs + 1)));
    await prefill(model.transformer, ids, sides.map(({ sequence }) => sequence.target()), { step: {}, record: () => {} }); // biome-ignore format: one line
    const times: number[][] = all.map(() => []);
    for (let round = 0; round <= runs; round++)
      for (const [index, { decoder }] of sides.entries()) {
        const started = performance.now();
        for (const id of ids.slice(0, STRETCH)) decoder.force(id);
        await model.gpu.idle();
        if (round > 0) times[index]?.push(performance.now() - started);
      }
    const rows: PairRow[] = [];
    for (const [index, { name: policy }] of contenders.entries()) {
      const cache = sides[index + 1]?.sequence.cache;
      if (!cache) continue;
      const { bytesReadPerToken } = await readUsage(model.gpu, cache);
      const row = pairOf({ model: model.name, what: "answer", tokens: ids.length, policy, against: "full" }, times[index + 1], times[0]);
      rows.push({ ...row, read: bytesReadPerToken / (cache.tokens * fullBytesPerToken(model.transformer.config)) });
    }
    return rows;
  } finally {
    for (const { dispose } of sides) dispose();
  }
}

function pairOf(what: Pick<PairRow, "model" | "what" | "tokens" | "policy" | "against">, own: readonly number[] = [], other: readonly number[] = []): PairRow {
  const ratios = own.map((ms, round) => (other[round] ?? Number.NaN) / ms);
  return { ...what, rounds: ratios.length, least: Math.min(...ratios), median: median(ratios), most: Math.max(...ratios) };
}

async function open({ gpu, transformer }: BenchModel, options: CacheOptions, prompt: number, answer: number) {
  const sequence = new Sequence(transformer, options, prompt + answer, prompt);
  const decoder = new Decoder(transformer, sequence.cache, resolveSampling({}), []);
  await gpu.kernels.ready();
  return {
    sequence,
    decoder,
    dispose: () => {
      decoder.dispose();
      sequence.dispose();
    },
  };
}

function repeated(ids: readonly number[], length: number): number[] {
  return Array.from({ length }, (_value, index) => ids[index % ids.length] ?? 0);
}

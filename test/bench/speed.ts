// speed: tokens a second of prompts and of answers, and what one decoded token costs the host. The ids are checked against PyTorch's first:
// a fast wrong answer has no speed.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/machine.mjs";
import type { CacheOptions, GenerateResult } from "../../src/engine-types";
import { generate } from "../../src/generate/generate";
import { resolveSampling } from "../../src/generate/sampling-options";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import { type BenchModel, openBenchModel } from "./bench-model";
import { type Candidate, cacheOptions, candidateName } from "./candidate";
import { describePair, measurePairs, PAIR_CONTEXT, type PairRow } from "./pairs";
import { defineSection, mean, median, table, target } from "./section";

interface Spread {
  readonly least: number;
  readonly median: number;
  readonly most: number;
}

interface SpeedRow extends Candidate {
  readonly model: string;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly runs: number;
  readonly prefill: Spread; // tokens/s
  readonly decode: Spread; // tokens/s
}

interface TokenCost {
  readonly model: string;
  readonly policy: string;
  readonly layers: number;
  /** Of the whole submit of a token: embedding, head and sampler too, and the layers whose rings are compressed before it. */
  readonly leastDispatches: number;
  readonly meanDispatches: number;
  readonly mostDispatches: number;
  readonly submits: number; // most of any token
  readonly objectsCreated: number; // sum over all tokens
}

interface ModelFacts {
  readonly model: string;
  readonly adapter: string;
  readonly loadMs: number;
  readonly weightBytes: number;
  readonly verified: string;
}

interface SpeedFigures {
  readonly models: readonly ModelFacts[];
  readonly rows: readonly SpeedRow[];
  readonly costs: readonly TokenCost[];
  readonly pairs?: readonly PairRow[];
}

interface GoldenTexts {
  readonly texts: readonly { readonly ids: readonly number[]; readonly greedyIds: readonly number[] }[];
}

const MODELS = [
  { name: "tiny", golden: "logits-tiny.json" },
  { name: "smollm2-135m", golden: "logits-smollm2.json" },
] as const;

const POLICIES: readonly Candidate[] = [{ policy: "full" }, { policy: "rate-distortion", ratio: 0.25 }];

/** Tokens over which a token's cost is counted: a layer's ring of 16 is compressed every eighth, layers in turn. */
const COUNTED = 24;

interface Step {
  readonly dispatches: number;
  readonly submits: number;
  readonly objects: number;
}

export const speed = defineSection<SpeedFigures>({
  name: "speed",
  title: "tokens a second, and what a decoded token costs the host",
  async run({ models, runs, more, say, keep, previous }) {
    let figures: SpeedFigures = previous ?? { models: [], rows: [], costs: [] };
    for (const { name, golden } of MODELS.filter(({ name: known }) => models.length === 0 || models.includes(known))) {
      const { texts } = JSON.parse(readFileSync(join(root, "test/golden", golden), "utf8")) as GoldenTexts;
      const model = await openBenchModel(name, say, more ? PAIR_CONTEXT : 0);
      try {
        const found = await measureModel(model, texts, runs, say);
        const others = <Row extends { readonly model: string }>(rows: readonly Row[]): Row[] => rows.filter((row) => row.model !== name);
        figures = {
          models: [...others(figures.models), found.facts],
          rows: [...others(figures.rows), ...found.rows],
          costs: [...others(figures.costs), ...found.costs],
          pairs: figures.pairs ?? [],
        };
        keep(figures, model.gpu.description);
        if (!more) continue;
        figures = { ...figures, pairs: [...others(figures.pairs ?? []), ...(await measurePairs(model, texts[1]?.ids ?? [], runs, say))] };
        keep(figures, model.gpu.description);
      } finally {
        model.dispose();
      }
    }
  },
  describe: describeSpeed,
});

async function measureModel(model: BenchModel, texts: GoldenTexts["texts"], runs: number, say: (line: string) => void) {
  const [short, long] = texts;
  if (!short || !long) throw new Error("The golden file has fewer than two texts.");
  const first = await run(model, { policy: "full" }, short.ids, short.greedyIds.length);
  const verified = first.output.ids.every((id, index) => id === short.greedyIds[index]) && first.output.ids.length === short.greedyIds.length;
  if (!verified)
    throw new Error(
      `${model.name}: greedy ids differ from PyTorch's, so its speed says nothing. Got ${first.output.ids.join(" ")}, want ${short.greedyIds.join(" ")}.`,
    );
  say(`  ${model.name}: loaded in ${(model.loadMs / 1000).toFixed(1)} s; ${short.greedyIds.length} greedy ids equal PyTorch's`);
  const rows: SpeedRow[] = [];
  const costs: TokenCost[] = [];
  for (const candidate of POLICIES) {
    costs.push(await countToken(model, candidate, short.ids));
    await run(model, widest(candidate), short.ids, 4); // warms this policy up
    const results: GenerateResult[] = [];
    for (let index = 0; index < runs; index++) {
      const result = await run(model, cacheOptions(candidate), long.ids, long.greedyIds.length);
      results.push(result);
      say(
        `  ${model.name}, ${candidateName(candidate)}: prompt ${result.timings.prefillTokensPerSecond.toFixed(1)}/s, decode ${result.timings.decodeTokensPerSecond.toFixed(1)}/s`,
      );
    }
    rows.push({
      model: model.name,
      ...candidate,
      promptTokens: long.ids.length,
      newTokens: Math.min(...results.map(({ output }) => output.ids.length)),
      runs,
      prefill: spread(results.map(({ timings }) => timings.prefillTokensPerSecond)),
      decode: spread(results.map(({ timings }) => timings.decodeTokensPerSecond)),
    });
  }
  const weightBytes = model.gpu.ledger.bytes({ role: "weights" });
  const facts: ModelFacts = {
    model: model.name,
    adapter: model.gpu.description,
    loadMs: model.loadMs,
    weightBytes,
    verified: `${short.greedyIds.length} greedy ids after ${short.ids.length} tokens`,
  };
  return { facts, rows, costs };
}

async function run({ runtime }: BenchModel, { policy, budget }: CacheOptions, ids: readonly number[], maxTokens: number): Promise<GenerateResult> {
  const request = { prompt: { ids }, maxTokens, ...(policy && { policy }), ...(budget && { budget }) };
  for await (const event of generate(runtime, request)) if (event.kind === "done") return event.result;
  throw new Error("The engine's stream ended without a result.");
}

/** For short prompts, a quarter of whose bytes would be below the fixed parts, and where nothing is timed. */
function widest({ policy, ratio }: Candidate): CacheOptions {
  return cacheOptions({ policy, ...(ratio === undefined ? {} : { ratio: 1 }) });
}

/** Counts what tokens record, submit and create, from the device's own counters. Nothing here is timed. */
async function countToken({ name, gpu, transformer }: BenchModel, candidate: Candidate, ids: readonly number[]): Promise<TokenCost> {
  const sequence = new Sequence(transformer, widest(candidate), ids.length + COUNTED);
  const decoder = new Decoder(transformer, sequence.cache, resolveSampling({}), []);
  try {
    await gpu.kernels.ready();
    await prefill(transformer, ids, [sequence.target()], { step: {}, record: () => {} });
    const count = (act: () => void): Step => {
      const { dispatches, submits } = gpu.counters;
      const objects = gpu.objectsCreated;
      act();
      return { dispatches: gpu.counters.dispatches - dispatches, submits: gpu.counters.submits - submits, objects: gpu.objectsCreated - objects };
    };
    const steps: Step[] = [];
    for (let index = 0; index < COUNTED; index++) {
      steps.push(count(() => decoder.force(ids[index] ?? 0, true)));
      await decoder.take();
    }
    const dispatches = steps.map((step) => step.dispatches);
    return {
      model: name,
      policy: candidate.policy,
      layers: transformer.config.layers,
      leastDispatches: Math.min(...dispatches),
      meanDispatches: mean(dispatches),
      mostDispatches: Math.max(...dispatches),
      submits: Math.max(...steps.map((step) => step.submits)),
      objectsCreated: steps.reduce((sum, step) => sum + step.objects, 0),
    };
  } finally {
    decoder.dispose();
    sequence.dispose();
  }
}

function spread(values: readonly number[]): Spread {
  return { least: Math.min(...values), median: median(values), most: Math.max(...values) };
}

function describeSpeed({ models, rows, costs, pairs = [] }: SpeedFigures): string {
  const number = ({ least, median: middle, most }: Spread): string[] => [middle, least, most].map((value) => value.toFixed(value < 10 ? 2 : 0));
  const speeds = rows.map((row) => {
    const weights = models.find(({ model }) => model === row.model)?.weightBytes ?? Number.NaN;
    return [
      `${row.model}, ${candidateName(row)}`,
      `${row.promptTokens} + ${row.newTokens}`,
      ...number(row.prefill),
      ...number(row.decode),
      ((row.decode.median * weights) / 1e9).toPrecision(2),
    ];
  });
  const counts = costs.map((cost) => [
    `${cost.model}, ${cost.policy}`,
    ...[cost.leastDispatches, cost.meanDispatches, cost.mostDispatches].map((dispatches) => (dispatches / cost.layers).toFixed(2)),
    String(cost.submits),
    String(cost.objectsCreated),
  ]);
  const smol = rows.filter(({ model }) => model === "smollm2-135m");
  const worst = (pick: (row: SpeedRow) => number): number => Math.min(...smol.map(pick));
  return [
    table(["tokens/s: median, least, most", "tokens", "prompt", "least", "most", "decode", "least", "most", "GB/s of weights"], speeds),
    "",
    table(["a decoded token", "dispatches, all of them, over layers: least", "mean", "most", "submits", "objects created"], counts),
    ...(pairs.length > 0
      ? ["", table(["times as fast, in turns within one run", "prompt", "median", "least", "most", "read"], pairs.map(describePair)), ""]
      : []),
    ...models.map(
      ({ model, adapter, loadMs, verified }) =>
        `  ${model}: ${verified} equal PyTorch's; loading and compiling took ${(loadMs / 1000).toFixed(1)} s, apart from the above. ${adapter}`,
    ),
    ...(smol.length > 0
      ? [
          target(
            "SmolLM2, prompt, slowest median",
            worst((row) => row.prefill.median),
            4,
            "at least",
            " tokens/s",
          ),
          target(
            "SmolLM2, decode, slowest median",
            worst((row) => row.decode.median),
            1.5,
            "at least",
            " tokens/s",
          ),
        ]
      : []),
    target("dispatches over layers, most of any decoded token", Math.max(...costs.map((cost) => cost.mostDispatches / cost.layers)), 10, "at most"),
    target("submits a token", Math.max(...costs.map(({ submits }) => submits)), 1, "at most"),
    target("GPU objects created by decoded tokens", Math.max(...costs.map(({ objectsCreated }) => objectsCreated)), 0, "at most"),
  ].join("\n");
}

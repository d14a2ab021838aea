// kvpress-overlap: what Lacuna's scores would keep of SmolLM2's cache beside what kvpress keeps of it, method by method, on two texts. One prefill a
// text carries every method's scorer; as many slots are taken as kvpress kept, so budgets in bytes play no part. Golden file: scripts/golden/kvpress_keep.py.

import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PromptScorer } from "../../src/cache/prompt-scorer";
import type { Gpu } from "../../src/gpu/device";
import { loadModel } from "../../src/load/load-model";
import { Transformer } from "../../src/model/transformer";
import { fileSource } from "../../src/node/file-source";
import { DEFAULTS, scorerByName } from "../../src/policy/scorers";
import type { ScoreOptions } from "../../src/policy/scorers/scorer";
import { testGpu } from "../kernels/gpu";
import { tolerances } from "../tolerances";
import { type KeepMethod, type KeepOptions, keepAsMany, overlap, type RawKeep, readKvpressKeep } from "./kvpress-keep";

const FILE = "models/cache/smollm2-135m.gguf";
const present = existsSync(FILE);
if (!present) console.log(`not run: overlap with kvpress, as ${FILE} is not there (npm run model -- smollm2-135m gets it)`);

const golden = readKvpressKeep(JSON.parse(readFileSync("test/golden/kvpress-keep.json", "utf8")) as RawKeep);
const SINKS = 4;

/** kvpress's methods that Lacuna has, with its settings. */
const METHODS = golden.methods.flatMap((method) => {
  const score = scoreOf(method.options);
  return score ? [{ ...method, score, key: JSON.stringify(score) }] : [];
});

/** SnapKV's attention with and without the projected value's norm, as critical-snapkv has it. */
const BASE = scoreOf({ score: "snapkv", budget: "uniform", window: 32, pool: "mean", kernel: 5 }) as ScoreOptions;
const CRITICAL: ScoreOptions = { ...BASE, kind: "critical", epsilon: 1e-4 };

test("every method of the golden file is compared but those that Lacuna has not", () => {
  const others = golden.methods.filter(({ name }) => !METHODS.some((method) => method.name === name));
  // The first leaves the covariance out; the next two weigh expected attention, where Lacuna's critical weighs SnapKV's; the last has a test of its own.
  expect(others.map(({ name }) => name)).toEqual(["expected-attention-bare", "critical", "critical-ada", "critical-snapkv"]);
});

describe.skipIf(!present)("SmolLM2-135M beside kvpress", () => {
  let gpu: Gpu;
  /** By text: importance of every score, by its settings and layer (G, T). */
  const planes: Map<string, Float32Array[]>[] = [];
  const rows: string[] = [];

  beforeAll(async () => {
    gpu = await testGpu();
    const source = await fileSource(FILE);
    const model = await loadModel(gpu, source, { sha256: golden.sha256, verify: true });
    await source.close?.();
    const transformer = new Transformer(gpu, model.config, model.weights, 512);
    await gpu.kernels.ready();
    for (const { ids } of golden.texts) planes.push(await importances(transformer, ids));
  }, 600_000);
  afterAll(() => {
    gpu?.dispose();
    console.log(["overlap with kvpress, by text and part removed", ...rows].join("\n"));
  });

  const { atol, because } = tolerances.kvpressOverlap;

  test.each(METHODS)("$name keeps what kvpress keeps", ({ key, ...method }) => {
    for (const part of overlaps(method.name, method, (text, layer) => planeOf(text, key, layer))) expect(part, because).toBeGreaterThanOrEqual(1 - atol);
  });

  test("critical keeps what kvpress keeps of SnapKV, once half of the slots go by attention alone; its norm is L2 over the group, not L1 by head", () => {
    const method = golden.methods.find(({ name }) => name === "critical-snapkv") as KeepMethod;
    const critical = (text: number, layer: number): ArrayLike<number> => planeOf(text, JSON.stringify(CRITICAL), layer);
    const staged = overlaps("critical-snapkv, in two stages", method, (text, layer, want) =>
      attentionFirst(planeOf(text, JSON.stringify(BASE), layer), critical(text, layer), want),
    );
    for (const part of staged) expect(part, because).toBeGreaterThanOrEqual(1 - atol);
    overlaps("critical-snapkv, as it is (not judged)", method, critical);
  });

  function planeOf(text: number, key: string, layer: number): ArrayLike<number> {
    return planes[text]?.get(key)?.[layer] ?? [];
  }

  /** By text and part removed, over layers and heads. @param importance (G, T) of a layer; `want`: what kvpress kept there, by head */
  function overlaps(
    name: string,
    { options, kept }: Pick<KeepMethod, "options" | "kept">,
    importance: (text: number, layer: number, want: readonly (readonly number[])[]) => ArrayLike<number>,
  ): number[] {
    const found = golden.texts.map((_, text) =>
      golden.removed.map((_, ratio) =>
        overlap(
          Array.from({ length: golden.layers }, (_, layer) => {
            const want = Array.from({ length: golden.heads }, (_, head) => kept(text, ratio, layer, head));
            return keepAsMany(importance(text, layer, want), want, options.budget, SINKS);
          }).flat(),
        ),
      ),
    );
    rows.push(`${name}: ${found.map((ratios) => ratios.map((part) => part.toFixed(4)).join(" ")).join(", ")}`);
    return found.flat();
  }
});

/** CriticalKV's first stage: half of what is kept by `attention`, sinks among them; the rest by `importance`. */
function attentionFirst(attention: ArrayLike<number>, importance: ArrayLike<number>, want: readonly (readonly number[])[]): Float64Array {
  const tokens = attention.length / want.length;
  const staged = Float64Array.from(importance);
  for (const [head, slots] of want.entries()) {
    const half = Math.trunc(slots.length / 2) - slots.filter((t) => t < SINKS).length;
    const order = Array.from({ length: tokens - SINKS }, (_, t) => head * tokens + SINKS + t).sort((a, b) => (attention[b] ?? 0) - (attention[a] ?? 0));
    for (const slot of order.slice(0, half)) staged[slot] = Number.POSITIVE_INFINITY;
  }
  return staged;
}

/** One prefill of the full cache; after each layer every score's importance is read back. */
async function importances(transformer: Transformer, ids: readonly number[]): Promise<Map<string, Float32Array[]>> {
  const { gpu, config, chunk, step } = transformer;
  const ops = transformer.bindPrompt(ids);
  const scores = new Map([...METHODS.map(({ score }) => score), BASE, CRITICAL].map((score) => [JSON.stringify(score), score]));
  const scorers = [...scores].map(([key, score], index) => {
    const buffers = { ...ops.scoreBuffers, promptTokens: ids.length, owner: `Overlap${index}` };
    return { key, scorer: new PromptScorer(gpu, config, scorerByName(score.kind), score, buffers), layers: [] as Float32Array[] };
  });
  await gpu.kernels.ready();
  for (let layer = 0; layer < config.layers; layer++) {
    for (let first = 0; first < ids.length; first += chunk) {
      const tokens = Math.min(chunk, ids.length - first);
      step.write({ tokens, firstRow: first, firstPosition: first, keyRow: first, context: first + tokens });
      const recorder = gpu.record();
      ops.recordKeys(recorder, layer, tokens);
      for (const { scorer } of scorers) {
        if (first === 0) scorer.begin(recorder, layer);
        scorer.gather(recorder, tokens, first);
        if (first + tokens === ids.length) scorer.finish(recorder);
      }
      ops.recordRest(recorder, layer, tokens);
      recorder.submit();
    }
    for (const { scorer, layers } of scorers) layers.push(new Float32Array(await gpu.read(scorer.importance)));
  }
  for (const { scorer } of scorers) scorer.dispose();
  ops.dispose();
  return new Map(scorers.map(({ key, layers }) => [key, layers]));
}

/** A kvpress method's settings in Lacuna's words; undefined where Lacuna has no such method. */
function scoreOf({ score, window, pool, kernel, exposed, lag, epsilon, valueNorm, covariance }: KeepOptions): ScoreOptions | undefined {
  if (score === "critical" || covariance === false) return undefined;
  const base = { ...DEFAULTS, ...scorerByName(score).defaults, kind: score, sinks: SINKS };
  const given = { window, poolKind: pool, pool: kernel, reduce: exposed && "mean", lag, epsilon, valueNorm };
  return { ...base, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

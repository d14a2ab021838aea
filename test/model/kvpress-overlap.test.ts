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
import { type KeepOptions, keepAsMany, overlap, type RawKeep, readKvpressKeep } from "./kvpress-keep";

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

test("every method of the golden file is compared but those that Lacuna has not", () => {
  const others = golden.methods.filter(({ name }) => !METHODS.some((method) => method.name === name));
  // The first leaves the covariance out; the others weigh expected attention, where Lacuna's critical weighs SnapKV's.
  expect(others.map(({ name }) => name)).toEqual(["expected-attention-bare", "critical", "critical-ada"]);
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

  // critical differs by design, too: its norm is L2 over the group, kvpress's L1 by head, and kvpress gives half of the slots to attention alone: 1.2 % together.
  test.each(METHODS)("$name keeps what kvpress keeps", ({ name, options, key, kept }) => {
    const found = golden.texts.map((_, text) =>
      golden.removed.map((_, ratio) =>
        overlap(
          Array.from({ length: golden.layers }, (_, layer) => {
            const want = Array.from({ length: golden.heads }, (_, head) => kept(text, ratio, layer, head));
            return keepAsMany(planes[text]?.get(key)?.[layer] ?? [], want, options.budget, SINKS);
          }).flat(),
        ),
      ),
    );
    rows.push(`${name}: ${found.map((ratios) => ratios.map((part) => part.toFixed(4)).join(" ")).join(", ")}`);
    const { atol, because } = tolerances.kvpressOverlap;
    for (const part of found.flat()) expect(part, because).toBeGreaterThanOrEqual(1 - atol);
  });
});

/** One prefill of the full cache; after each layer every score's importance is read back. */
async function importances(transformer: Transformer, ids: readonly number[]): Promise<Map<string, Float32Array[]>> {
  const { gpu, config, chunk, step } = transformer;
  const ops = transformer.bindPrompt(ids);
  const scores = new Map(METHODS.map(({ key, score }) => [key, score]));
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
function scoreOf({ score, base, window, pool, kernel, exposed, lag, epsilon, valueNorm, covariance }: KeepOptions): ScoreOptions | undefined {
  if (base === "expected-attention" || covariance === false) return undefined;
  const given = { window, poolKind: pool, pool: kernel, reduce: exposed && "mean", lag, epsilon, valueNorm };
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { ...DEFAULTS, ...scorerByName(score).defaults, ...set, kind: score, sinks: SINKS };
}

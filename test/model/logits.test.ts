// logits: the forward pass against PyTorch on the dequantized weights, at every position: a prompt's chunks, and token by token through the
// cache under policy full; and greedy continuations, id by id. Golden files: scripts/golden/logits.py.

import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resolveSampling } from "../../src/generate/sampling-options";
import type { Gpu } from "../../src/gpu/device";
import { type LoadedModel, loadModel } from "../../src/load/load-model";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import { Transformer } from "../../src/model/transformer";
import { fileSource } from "../../src/node/file-source";
import { testGpu } from "../kernels/gpu";
import { type Tolerance, tolerances } from "../tolerances";
import { type GoldenText, projectLogits, readGolden } from "./golden";

const MODELS = [
  { name: "tiny", file: "models/tiny/tiny-q8_0.gguf", tolerance: tolerances.tinyLogits, decodeTokens: 512 },
  { name: "smollm2", file: "models/cache/smollm2-135m.gguf", tolerance: tolerances.logits, decodeTokens: 64 },
] as const;

for (const { name, file, tolerance, decodeTokens } of MODELS) {
  const present = existsSync(file);
  if (!present) console.log(`not run: ${name} logits, as ${file} is not there (npm run model -- smollm2-135m gets it)`);
  describe.skipIf(!present)(name, () => {
    const golden = readGolden(JSON.parse(readFileSync(`test/golden/logits-${name}.json`, "utf8")));
    let gpu: Gpu;
    let model: LoadedModel;
    let transformer: Transformer;

    beforeAll(async () => {
      gpu = await testGpu();
      const source = await fileSource(file);
      model = await loadModel(gpu, source, { sha256: golden.sha256, verify: true });
      await source.close?.();
      transformer = new Transformer(gpu, model.config, model.weights, 1024);
      await gpu.kernels.ready();
    }, 120_000);
    afterAll(() => gpu?.dispose());

    for (const text of golden.texts) {
      test(`a prompt of ${text.ids.length} tokens, logits at every position`, async () => {
        const ops = transformer.bindPrompt(text.ids);
        await gpu.kernels.ready();
        for (let layer = 0; layer < model.config.layers; layer++)
          for (let first = 0; first < text.ids.length; first += transformer.chunk) {
            const tokens = Math.min(transformer.chunk, text.ids.length - first);
            transformer.step.write({ tokens, firstRow: first, firstPosition: first, keyRow: first, context: first + tokens });
            const recorder = gpu.record();
            ops.recordKeys(recorder, layer, tokens);
            ops.recordRest(recorder, layer, tokens);
            recorder.submit();
          }
        for (let position = 0; position < text.ids.length; position++) {
          transformer.step.write({ tokens: 1, firstRow: position });
          const recorder = gpu.record();
          ops.recordLogits(recorder);
          recorder.submit();
          expectLogits(new Float32Array(await gpu.read(transformer.logits)), text, position, tolerance);
        }
        ops.dispose();
      }, 600_000);

      test(`token by token through the full cache, ${Math.min(decodeTokens, text.ids.length)} tokens`, async () => {
        const end = Math.min(decodeTokens, text.ids.length);
        const sequence = new Sequence(transformer, { policy: "full" }, end);
        const decoder = new Decoder(transformer, sequence.cache, resolveSampling({}), []);
        await prefill(transformer, text.ids.slice(0, 1), [sequence.target()], { step: {}, record: () => {} });
        for (let position = 1; position < end; position++) {
          decoder.force(text.ids[position] ?? 0);
          expectLogits(new Float32Array(await gpu.read(transformer.logits)), text, position, tolerance);
        }
        decoder.dispose();
        sequence.dispose();
      }, 600_000);

      test(`32 greedy tokens after ${text.ids.length}`, async () => {
        const sequence = new Sequence(transformer, { policy: "full" }, text.ids.length + 32);
        const decoder = new Decoder(transformer, sequence.cache, resolveSampling({}), []);
        await prefill(transformer, text.ids, [sequence.target()], { step: {}, record: () => {} });
        const ids: number[] = [];
        for (let index = 0; index < 32; index++) {
          const logits = new Float32Array(await gpu.read(transformer.logits));
          ids.push(logits.indexOf(Math.max(...chunkMaxima(logits))));
          decoder.force(ids[index] ?? 0);
        }
        decoder.dispose();
        sequence.dispose();
        expect(ids).toEqual([...text.greedyIds]);
      }, 600_000);
    }
  });
}

/** Math.max takes no 49,152 arguments. */
function chunkMaxima(values: Float32Array): number[] {
  return Array.from({ length: Math.ceil(values.length / 4096) }, (_, chunk) => Math.max(...values.subarray(4096 * chunk, 4096 * (chunk + 1))));
}

/** The greatest logits by id, the log of the sum, and sixteen projections that any error elsewhere would move. */
function expectLogits(logits: Float32Array, text: GoldenText, position: number, tolerance: Tolerance): void {
  const where = `position ${position}`;
  const { atol } = tolerance;
  const check = (got: number, want: number, what: string): void => {
    if (!(Math.abs(got - want) <= atol + tolerance.rtol * Math.abs(want)))
      expect.fail(`${where}, ${what}: got ${got}, want ${want} +- ${atol} (${tolerance.because})`);
  };
  for (const [id, logit] of text.top(position)) check(logits[id] ?? Number.NaN, logit, `logit of ${id}`);
  const most = Math.max(...chunkMaxima(logits));
  check(most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0)), text.logSumExp[position] ?? Number.NaN, "log-sum-exp");
  const projections = projectLogits(logits, text.projections);
  for (const [index, value] of projections.entries()) check(value, text.projection(position, index), `projection ${index}`);
}

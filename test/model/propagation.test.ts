// propagation: part of a prompt goes on alone from the middle of the model, against a pass of all tokens in which the others' keys are hidden from there on.
// Who goes on is compared with the f64 twin's choice from the same queries and keys; decoding afterwards with the same pass over longer texts.

import { afterAll, beforeAll, expect, test } from "vitest";
import { readMap } from "../../src/cache/cache-report";
import type { PolicySpec } from "../../src/engine-types";
import { resolveSampling } from "../../src/generate/sampling-options";
import type { Gpu } from "../../src/gpu/device";
import { float16Value } from "../../src/load/float16";
import { type LoadedModel, loadModel } from "../../src/load/load-model";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import { type PromptOps, Transformer } from "../../src/model/transformer";
import { fileSource } from "../../src/node/file-source";
import { planPropagation } from "../../src/policy/propagation";
import { testGpu } from "../kernels/gpu";
import { tokensThatGoOn } from "../reference/propagation";
import { tolerances } from "../tolerances";
import { goldenTexts, TINY } from "./tiny-engine";

const ids = goldenTexts().long.ids;
const PROMPT = 448; // of 512: the others are decoded
const HIDDEN = 0x7bff; // f16's largest number in a key's first channel
const POLICY = { score: { kind: "snapkv" }, precision: { kind: "evict-only" }, propagate: { rate: 0.2 }, pinned: [[100, 103]] } as const satisfies PolicySpec;

let gpu: Gpu;
let model: LoadedModel;
let transformer: Transformer;
beforeAll(async () => {
  gpu = await testGpu();
  const source = await fileSource(TINY);
  model = await loadModel(gpu, source, {});
  await source.close?.();
  transformer = new Transformer(gpu, model.config, model.weights, 1024);
  await gpu.kernels.ready();
});
afterAll(() => gpu?.dispose());

interface Reference {
  readonly chosen: readonly number[];
  readonly logits: readonly Float32Array[]; // by position
}

test("the tokens that the twin chooses go on, in their places, and what follows is as if the others could not be seen from there on", async () => {
  const sequence = new Sequence(transformer, { policy: POLICY, budget: { bytes: 8 << 20 } }, ids.length); // nothing is evicted
  const plan = planPropagation({ rate: 0.2, window: 8, pool: 7 }, sequence.policy, PROMPT, model.config.layers);
  expect(plan.count).toBe(89);
  const { chosen, logits } = await reference(plan);
  const decoder = new Decoder(transformer, sequence.cache, resolveSampling({}), []);
  await prefill(transformer, ids.slice(0, PROMPT), [sequence.target()], { step: {}, record: () => {} });
  const all = Array.from({ length: PROMPT }, (_, position) => position);
  const positions = (await readMap(gpu, sequence.cache)).layers.map(({ heads }) => heads.map((head) => [...head.positions]));
  for (const [layer, heads] of positions.entries()) for (const held of heads) expect(held).toEqual(layer <= plan.layer ? all : chosen);
  let most = 0;
  for (let position = PROMPT - 1; position < ids.length; position++) {
    if (position >= PROMPT) decoder.force(ids[position] ?? 0);
    const got = new Float32Array(await gpu.read(transformer.logits));
    const { atol, rtol } = tolerances.hiddenKeys;
    for (const [id, want] of logits[position]?.entries() ?? []) {
      const off = Math.abs((got[id] ?? Number.NaN) - want);
      if (!(off <= atol + rtol * Math.abs(want))) expect.fail(`position ${position}, id ${id}: got ${got[id]}, want ${want}`);
      most = Math.max(most, off);
    }
  }
  console.log(`largest difference of a logit: ${most}`);
  const later = (await readMap(gpu, sequence.cache)).layers.map(({ heads }) => heads.map((head) => [...head.positions]));
  const decoded = ids.slice(PROMPT).map((_, index) => PROMPT + index);
  for (const [layer, heads] of later.entries()) for (const held of heads) expect(held).toEqual([...(layer <= plan.layer ? all : chosen), ...decoded]);
  decoder.dispose();
  sequence.dispose();
});

/** A pass over all tokens, those that do not go on hidden in the later layers; and the same with nothing hidden, which must differ. */
async function reference(plan: ReturnType<typeof planPropagation>): Promise<Reference> {
  const { config } = transformer;
  const ops = transformer.bindPrompt(ids, { masked: true });
  await gpu.kernels.ready();
  const chunks = [...starts(0, PROMPT), ...starts(PROMPT, ids.length)];
  let chosen: number[] = [];
  for (let layer = 0; layer < config.layers; layer++)
    for (const { first, tokens } of chunks) {
      transformer.step.write({ tokens, firstRow: first, firstPosition: first, keyRow: first, context: first + tokens });
      record((recorder) => ops.recordKeys(recorder, layer, tokens));
      if (layer === plan.layer && first + tokens === PROMPT) chosen = await chooseInDouble(ops, first, plan);
      if (layer > plan.layer)
        for (let position = first; position < first + tokens; position++)
          if (position < PROMPT && !chosen.includes(position))
            for (let head = 0; head < config.kvHeads; head++)
              gpu.write(ops.staging.rows, (head * ops.staging.capacity + position) * config.headSize * 2, new Uint32Array([HIDDEN]));
      record((recorder) => ops.recordRest(recorder, layer, tokens));
    }
  const logits = [];
  for (let position = 0; position < ids.length; position++) {
    transformer.step.write({ tokens: 1, firstRow: position });
    record((recorder) => ops.recordLogits(recorder));
    logits.push(new Float32Array(await gpu.read(transformer.logits)));
  }
  ops.dispose();
  return { chosen, logits };
}

async function chooseInDouble(ops: PromptOps, first: number, plan: ReturnType<typeof planPropagation>): Promise<number[]> {
  const { heads: H, kvHeads: G, headSize: D } = transformer.config;
  const rotated = new Float32Array(await gpu.read(ops.scoreBuffers.rotated));
  const row = (position: number): number => (position - first) * H * D;
  const queries = rotated.subarray(row(PROMPT - plan.window), row(PROMPT));
  const words = new Uint16Array(await gpu.read(ops.staging.rows));
  const keys = Array.from({ length: G }, (_, head) => head * ops.staging.capacity * D).flatMap((base) =>
    [...words.subarray(base, base + PROMPT * D)].map(float16Value),
  );
  return tokensThatGoOn(queries, keys, { T: PROMPT, H, G, D, sinks: plan.sinks }, plan);
}

function starts(begin: number, end: number): { readonly first: number; readonly tokens: number }[] {
  const chunks = [];
  for (let first = begin; first < end; first += transformer.chunk) chunks.push({ first, tokens: Math.min(transformer.chunk, end - first) });
  return chunks;
}

function record(act: (recorder: ReturnType<Gpu["record"]>) => void): void {
  const recorder = gpu.record();
  act(recorder);
  recorder.submit();
}

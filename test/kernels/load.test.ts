// load: a model's file ends up on the GPU as the layout says, whole or in shards, and failures leave nothing behind.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isEngineError } from "../../src/errors";
import type { Gpu } from "../../src/gpu/device";
import type { ByteSource } from "../../src/load/byte-source";
import { type GgufHeader, readHeader } from "../../src/load/gguf";
import { loadModel } from "../../src/load/load-model";
import { repackRows } from "../../src/load/repack";
import { disposeWeights, loadWeights } from "../../src/load/upload";
import { ROW_PADDING, type Vector, type Weight, WORDS_PER_UNIT } from "../../src/model/weights";
import { unpackWeight } from "../reference/weights";
import { type ModelOptions, makeModel, sourceOf, writeGguf } from "../unit/load/make-gguf";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

async function open(options: ModelOptions): Promise<{ source: ByteSource; header: GgufHeader }> {
  const source = sourceOf(writeGguf(makeModel(options)));
  return { source, header: await readHeader(source) };
}

/** A weight's values as the GPU holds them, shard by shard. */
async function valuesOnGpu(weight: Weight): Promise<Float64Array> {
  const values = new Float64Array(weight.rows * weight.cols);
  let nextRow = 0;
  for (const shard of weight.shards) {
    expect(shard.firstRow).toBe(nextRow);
    expect(shard.paddedRows % ROW_PADDING).toBe(0);
    expect(shard.buffer.size).toBe(shard.paddedRows * (weight.cols / 32) * WORDS_PER_UNIT[weight.kind] * 4);
    values.set(unpackWeight(weight.kind, new Uint32Array(await gpu.read(shard.buffer)), shard.paddedRows, shard.rows, weight.cols), nextRow * weight.cols);
    nextRow += shard.rows;
  }
  expect(nextRow).toBe(weight.rows);
  return values;
}

/** The same values from the file alone: each tensor repacked by itself (repack.test.ts checks that against the Python package). */
async function valuesInFile(source: ByteSource, header: GgufHeader, weight: Weight, names: readonly string[]): Promise<Float64Array> {
  const values = new Float64Array(weight.rows * weight.cols);
  let firstRow = 0;
  for (const name of names) {
    const tensor = header.tensors.get(name);
    if (!tensor) throw new Error(name);
    const words = new Uint32Array((tensor.cols / 32) * WORDS_PER_UNIT[weight.kind] * tensor.rows);
    repackRows(tensor.type, await source.read(tensor.offset, tensor.bytes), tensor.rows, tensor.cols, { words, stride: tensor.rows, firstRow: 0 });
    values.set(unpackWeight(weight.kind, words, tensor.rows, tensor.rows, tensor.cols), firstRow * weight.cols);
    firstRow += tensor.rows;
  }
  expect(firstRow).toBe(weight.rows);
  return values;
}

/** Fails with the first index that differs; expect's own comparison takes minutes on a matrix. */
function expectSame(got: Float64Array, want: Float64Array, name: string): void {
  const at = want.findIndex((value, i) => !Object.is(value, got[i]));
  if (at >= 0 || got.length !== want.length) expect.fail(`${name}: element ${at} is ${got[at]}, wanted ${want[at]}`);
}

async function vectorOnGpu(vector: Vector): Promise<number[]> {
  return [...new Float32Array(await gpu.read(vector.buffer)).subarray(0, vector.length)];
}

describe("loadWeights", () => {
  test.each([
    ["one type, one shard each", { biased: true, architecture: "qwen2" }, undefined],
    ["an untied head", { untied: true, type: "Q4_1" }, undefined],
    [
      "mixed types: query and value apart",
      { heads: 8, kvHeads: 4, hidden: 256, ffn: 256, layers: 1, type: "Q4_K", types: { "attn_v.weight": "Q6_K", "token_embd.weight": "Q8_0" } },
      undefined,
    ],
    ["matrices of several shards", { hidden: 64, ffn: 96, vocab: 333, type: "F16" }, 64 * 96 * 2],
  ] as const)("%s", async (_title, options, maxShardBytes) => {
    const { source, header } = await open(options as ModelOptions);
    const reports: number[] = [];
    const weights = await loadWeights(gpu, source, header, {
      ...(maxShardBytes ? { maxShardBytes } : {}),
      onProgress: ({ phase, done, total }) => {
        expect(phase).toBe("upload");
        reports.push(done / total);
      },
    });
    const check = async (weight: Weight, ...names: string[]): Promise<void> => {
      if (maxShardBytes) for (const shard of weight.shards) expect(shard.buffer.size).toBeLessThanOrEqual(maxShardBytes);
      expectSame(await valuesOnGpu(weight), await valuesInFile(source, header, weight, names), weight.name);
    };
    await check(weights.embedding, "token_embd.weight");
    if (header.tensors.has("output.weight")) await check(weights.head, "output.weight");
    else expect(weights.head).toBe(weights.embedding);
    for (const [index, layer] of weights.layers.entries()) {
      const names = (...ends: string[]): string[] => ends.map((end) => `blk.${index}.${end}.weight`);
      const [qkv, gateUp] = [names("attn_q", "attn_k", "attn_v"), names("ffn_gate", "ffn_up")];
      if (layer.qkv.length === 1) await check(layer.qkv[0] as Weight, ...qkv);
      else for (const [part, weight] of layer.qkv.entries()) await check(weight, qkv[part] as string);
      if (layer.gateUp.length === 1) await check(layer.gateUp[0] as Weight, ...gateUp);
      else for (const [part, weight] of layer.gateUp.entries()) await check(weight, gateUp[part] as string);
      await check(layer.attentionOutput, ...names("attn_output"));
      await check(layer.ffnDown, ...names("ffn_down"));
      const bias = ["attn_q", "attn_k", "attn_v"].map((name) => header.tensors.get(`blk.${index}.${name}.bias`));
      if (bias[0]) {
        const wanted: number[] = [];
        for (const tensor of bias) if (tensor) wanted.push(...new Float32Array((await source.read(tensor.offset, tensor.bytes)).buffer));
        expect(await vectorOnGpu(layer.qkvBias as Vector)).toEqual(wanted);
      } else expect(layer.qkvBias).toBeUndefined();
    }
    expect(reports.at(-1)).toBe(1);
    expect(gpu.ledger.bytes({ role: "weights", owner: "Weights" })).toBe(gpu.ledger.bytes());
    disposeWeights(gpu, weights);
    disposeWeights(gpu, weights);
    expect(gpu.ledger.count).toBe(0);
  });

  test("stacks what agrees, splits gate and up at the same rows", async () => {
    const options: ModelOptions = { hidden: 128, heads: 4, ffn: 320, type: "Q8_0", types: { "ffn_up.weight": "Q4_0" } };
    const { source, header } = await open(options);
    const whole = await loadModel(gpu, source);
    expect(whole.weights.layers.map((layer) => [layer.qkv.length, layer.gateUp.map(({ kind }) => kind)])).toEqual([
      [1, ["q8", "q4"]],
      [1, ["q8", "q4"]],
    ]);
    whole.dispose();
    const rowBytes = 4 * 9 * 4; // q8, 128 columns
    const weights = await loadWeights(gpu, source, header, { maxShardBytes: 160 * rowBytes });
    for (const { gateUp } of weights.layers) {
      expect(gateUp.map(({ shards }) => shards.map(({ firstRow, rows }) => [firstRow, rows]))).toEqual([
        [
          [0, 128],
          [128, 128],
          [256, 64],
        ],
        [
          [0, 128],
          [128, 128],
          [256, 64],
        ],
      ]);
    }
    const same = await open({ hidden: 128, heads: 4, ffn: 64, type: "Q8_0" });
    const stacked = await loadWeights(gpu, same.source, same.header, { maxShardBytes: 128 * rowBytes });
    const apart = await loadWeights(gpu, same.source, same.header, { maxShardBytes: 128 * rowBytes - 1 });
    expect([stacked, apart].map((model) => model.layers[0]?.gateUp.length)).toEqual([1, 2]);
    for (const model of [weights, stacked, apart]) disposeWeights(gpu, model);
    expect(gpu.ledger.count).toBe(0);
  });

  test("a matrix larger than one window of rows", async () => {
    const { source, header } = await open({ hidden: 2048, heads: 32, kvHeads: 8, ffn: 64, vocab: 2500, layers: 1, type: "F16" }); // 10 MB of embeddings
    const weights = await loadWeights(gpu, source, header);
    const { embedding } = weights;
    expect(embedding.shards.length).toBe(1);
    const words = new Uint32Array(await gpu.read((embedding.shards[0] as Weight["shards"][number]).buffer));
    const tensor = header.tensors.get("token_embd.weight");
    const file = new Uint32Array((await source.read(tensor?.offset ?? 0, tensor?.bytes ?? 0)).buffer); // 2 elements a word, row by row
    const stride = 2560;
    let wrong = 0;
    for (let row = 0; row < 2500; row++) for (let word = 0; word < 1024; word++) if (words[word * stride + row] !== file[row * 1024 + word]) wrong++;
    for (let row = 2500; row < stride; row++) for (let word = 0; word < 1024; word++) if (words[word * stride + row] !== 0) wrong++;
    expect(wrong).toBe(0);
    disposeWeights(gpu, weights);
  });
});

describe("failures leave nothing on the GPU", () => {
  async function codeOf(run: Promise<unknown>): Promise<string> {
    const error = await run.then(
      () => "no error",
      (thrown: unknown) => thrown,
    );
    return isEngineError(error) ? (error as { code: string }).code : String(error);
  }

  test("abort in mid-upload", async () => {
    const { source } = await open({});
    const controller = new AbortController();
    const run = loadModel(gpu, source, { signal: controller.signal, onProgress: ({ done, total }) => done > total / 2 && controller.abort() });
    expect(await codeOf(run)).toBe("ABORTED");
    expect(gpu.ledger.count).toBe(0);
  });

  test("a source that breaks off", async () => {
    const { source } = await open({});
    let reads = 0;
    const broken: ByteSource = { ...source, read: (offset, length) => (++reads > 20 ? Promise.reject(new TypeError("gone")) : source.read(offset, length)) };
    expect(await codeOf(loadModel(gpu, broken))).toContain("gone");
    expect(gpu.ledger.count).toBe(0);
  });

  test("a wrong hash, found before anything is uploaded", async () => {
    const { source } = await open({});
    expect(await codeOf(loadModel(gpu, source, { verify: true, sha256: "0".repeat(64) }))).toBe("HASH_MISMATCH");
    expect(gpu.ledger.count).toBe(0);
    const model = await loadModel(gpu, source, { verify: true });
    expect(model.sha256).toMatch(/^[0-9a-f]{64}$/);
    model.dispose();
    expect(gpu.ledger.count).toBe(0);
  });

  test("a row that no binding can hold", async () => {
    const { source } = await open({});
    expect(await codeOf(loadModel(gpu, source, { maxShardBytes: 4000 }))).toBe("ADAPTER_LIMITS");
    expect(gpu.ledger.count).toBe(0);
  });
});

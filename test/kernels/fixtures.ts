// fixtures: seeded numbers, weights in unit layout and buffers for the kernel tests.

import type { Gpu } from "../../src/gpu/device";
import { type Step, StepBuffer } from "../../src/gpu/step";
import { ROW_PADDING, type Weight, type WeightKind, WORDS_PER_UNIT } from "../../src/model/weights";
import { unpackWeight } from "../reference/weights";

/** mulberry32: uniform u32s from a seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return (bits ^ (bits >>> 14)) >>> 0;
  };
}

/** Standard normal numbers rounded to f32, one in 97 of them eight times as large: outliers as activations have them. */
export function normals(seed: number, count: number, outlier = 8): Float32Array {
  const next = seeded(seed);
  const uniform = (): number => (next() + 0.5) / 2 ** 32;
  return Float32Array.from({ length: count }, (_, i) => {
    const value = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    return i % 97 === 13 ? value * outlier : value;
  });
}

export interface TestWeight {
  readonly weight: Weight;
  readonly values: Float64Array; // (rows, cols)
}

/** A random matrix of a kind, in shards of at most `shardRows` rows. Elements are around 0.05, rows of padding are NaN where the kind has one. */
export function testWeight(gpu: Gpu, kind: WeightKind, rows: number, cols: number, options: { seed?: number; shardRows?: number } = {}): TestWeight {
  const next = seeded((options.seed ?? 1) * 7919 + rows * 31 + cols);
  const values = new Float64Array(rows * cols);
  const shards = [];
  const shardRows = options.shardRows ?? rows;
  for (let firstRow = 0; firstRow < rows; firstRow += shardRows) {
    const count = Math.min(shardRows, rows - firstRow);
    const paddedRows = Math.ceil(count / ROW_PADDING) * ROW_PADDING;
    const words = new Uint32Array((cols / 32) * WORDS_PER_UNIT[kind] * paddedRows);
    for (let at = 0; at < words.length; at++) {
      const word = Math.floor(at / paddedRows) % WORDS_PER_UNIT[kind];
      words[at] = at % paddedRows < count ? randomWord(kind, word, next) : 0xffffffff;
    }
    values.set(unpackWeight(kind, words, paddedRows, count, cols), firstRow * cols);
    shards.push({ firstRow, rows: count, paddedRows, buffer: upload(gpu, words) });
  }
  return { weight: { name: `test.${kind}`, kind, rows, cols, shards }, values };
}

export function upload(gpu: Gpu, data: Uint32Array | Float32Array | Int32Array): GPUBuffer {
  const buffer = gpu.createBuffer("Test.upload", data.byteLength, "scratch");
  gpu.write(buffer, 0, data);
  return buffer;
}

/** A buffer of f32 filled with NaN: whoever reads what nobody wrote, shows. */
export function unwritten(gpu: Gpu, count: number): GPUBuffer {
  return upload(gpu, new Float32Array(count).fill(Number.NaN));
}

export function stepOf(gpu: Gpu, values: Partial<Step>): GPUBuffer {
  const step = new StepBuffer(gpu, "Test");
  step.write(values);
  return step.buffer;
}

export async function readFloats(gpu: Gpu, buffer: GPUBuffer): Promise<Float32Array> {
  return new Float32Array(await gpu.read(buffer));
}

/** Compiles what was bound, records it and submits once. */
export async function run(gpu: Gpu, record: (recorder: ReturnType<Gpu["record"]>) => void): Promise<void> {
  await gpu.kernels.ready();
  gpu.device.pushErrorScope("validation");
  const recorder = gpu.record("Test");
  record(recorder);
  recorder.submit();
  const error = await gpu.device.popErrorScope();
  if (error) throw new Error(error.message);
}

/** Codes are any bits; scales and plain elements are finite and of weights' size, negative as often as not. */
function randomWord(kind: WeightKind, word: number, next: () => number): number {
  if (kind === "f32") return new Uint32Array(Float32Array.of((next() / 2 ** 32 - 0.5) * 0.2).buffer)[0] as number;
  if (kind === "bf16") return randomHalf(next, 0x3c00, 0x3e00) * 65536 + randomHalf(next, 0x3c00, 0x3e00); // 2^-7 .. 2^-3
  if (kind === "f16") return randomHalf(next, 0x2000, 0x3000) * 65536 + randomHalf(next, 0x2000, 0x3000); // 2^-7 .. 2^-3
  if (word < WORDS_PER_UNIT[kind] - 1) return next();
  return (kind === "q8" ? 0 : randomHalf(next, 0x1400, 0x1c00) * 65536) + randomHalf(next, 0x1400, 0x1c00); // 2^-10 .. 2^-8
}

function randomHalf(next: () => number, from: number, to: number): number {
  const bits = next();
  return (from + (bits % (to - from))) | (bits & 0x80000000 ? 0x8000 : 0);
}

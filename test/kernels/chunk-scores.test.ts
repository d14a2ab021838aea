// chunk-scores: logits of chunks on the GPU against f64, over bounds given by hand; the worked example of test/unit/policy/reading.test.ts among them.

import { afterAll, beforeAll, expect, test } from "vitest";
import { INFO_BYTES } from "../../src/cache/cache-info";
import type { Gpu } from "../../src/gpu/device";
import { bindChunkScores } from "../../src/kernels/chunk-scores";
import { half, toHalf } from "../reference/codec";
import { type Bounds, boundScale, questLogit, roundBound, sparseLogits } from "../reference/reading";
import { gaussian, seeded } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { boundOfByte } from "./read-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

/** Of a chunk; those in 8 bits are multiples of its scale. */
interface ScaledBounds extends Bounds {
  readonly scale: number;
}

interface Case {
  readonly D: number;
  readonly G: number;
  readonly group: number;
  readonly chunks: number;
  readonly channels: number;
  readonly sparse: boolean;
}

const cases: Case[] = [1, 2, 127, 128, 129].flatMap((chunks) => [
  { D: 64, G: 3, group: 3, chunks, channels: 64, sparse: false },
  { D: 64, G: 3, group: 3, chunks, channels: 35, sparse: true },
]);

test.each([...cases, { D: 128, G: 1, group: 8, chunks: 9, channels: 1, sparse: true }, { D: 32, G: 2, group: 1, chunks: 5, channels: 32, sparse: true }])(
  "$chunks chunks, D $D, $channels channels, sparse $sparse",
  async ({ D, G, group, chunks, channels, sparse }) => {
    const normal = gaussian(seeded(chunks + channels));
    const queries = Array.from({ length: G * group }, () => Float64Array.from({ length: D }, () => Math.fround(normal())));
    if (queries[0]) queries[0][D - 1] = 25; // one channel that outweighs the others
    const bounds = Array.from({ length: G }, () =>
      Array.from({ length: chunks }, (): ScaledBounds => {
        const least = Float64Array.from({ length: D }, () => half(normal() - 1));
        const halves = { least, most: least.map((x) => half(x + Math.abs(normal()))) };
        if (sparse) return { ...halves, scale: 1 };
        const scale = boundScale(halves);
        return { least: halves.least.map((x) => roundBound(x, scale, false)), most: halves.most.map((x) => roundBound(x, scale, true)), scale };
      }),
    );
    const got = await scores({ D, G, group, chunks, channels, sparse }, queries, bounds);
    for (let head = 0; head < G; head++) {
      const mine = queries.slice(head * group, (head + 1) * group);
      const of = bounds[head] ?? [];
      const want = sparse ? sparseLogits(mine, of, channels) : mine.map((q) => of.map((chunk) => questLogit(q, chunk)));
      for (const [h, row] of want.entries()) expectClose(got[head * group + h] ?? [], row, tolerances.cacheAttention);
    }
  },
);

/** Runs the kernel over lists of one slot a chunk. */
async function scores(
  { D, G, group, chunks, channels, sparse }: Case,
  queries: readonly Float64Array[],
  bounds: readonly ScaledBounds[][],
): Promise<number[][]> {
  const pairs = Math.ceil(chunks / 2) + 1; // more room than is used
  const made: GPUBuffer[] = [];
  const make = (data: Uint32Array | Float32Array, usage?: GPUBufferUsageFlags): GPUBuffer => {
    const buffer = gpu.createBuffer("test", data.byteLength, "scratch", usage ? { usage } : {});
    gpu.write(buffer, 0, data);
    made.push(buffer);
    return buffer;
  };
  const uniform = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const packed = new Uint32Array(G * (sparse ? 2 * D : D + 1) * pairs);
  for (const [head, of] of bounds.entries()) {
    if (!sparse) packed.set(inBytes(of, pairs), head * (D + 1) * pairs);
    for (const [chunk, { least, most }] of (sparse ? of : []).entries())
      for (const [plane, values] of [least, most].entries())
        for (const [c, value] of values.entries()) {
          const at = (head * 2 * D + plane * D + c) * pairs + (chunk >> 1);
          packed[at] = ((packed[at] ?? 0) | (toHalf(value) << (16 * (chunk & 1)))) >>> 0;
        }
  }
  const info = new Uint32Array(INFO_BYTES / 4); // only the number of formats and the head size are read
  info.set([1], 136);
  info.set([D, G], 136 + 11);
  const reading = new Uint32Array([1, 4, pairs, channels, sparse ? 1 : 0, 0, 12, 12 * G, 0, 0, 0, 0]);
  new Float32Array(reading.buffer)[5] = 2;
  const out = make(new Float32Array(G * group * 2 * pairs));
  const op = bindChunkScores(
    gpu,
    { headSize: D, kvHeads: G, group, unit: 128, segmentPages: 0 },
    {
      info: make(info, uniform),
      reading: make(reading, uniform),
      table: make(new Uint32Array([0, 0, 0, 0, ...Array<number>(G).fill(chunks), ...Array<number>(G).fill(0)])),
      rotated: make(Float32Array.from(queries.flatMap((q) => Array.from(q)))),
      bounds: make(packed),
      selection: make(new Uint32Array(12 * G + G * group * D)),
      scores: out,
      pairs,
    },
  );
  await gpu.kernels.ready();
  const recorder = gpu.record();
  op.record(recorder);
  recorder.submit();
  const all = new Float32Array(await gpu.read(out));
  for (const buffer of made) gpu.destroyBuffer(buffer);
  expect(all.length).toBe(G * group * 2 * pairs);
  return Array.from({ length: G * group }, (_, h) => Array.from(all.subarray(h * 2 * pairs, h * 2 * pairs + chunks)));
}

/** Words of a head's bounds in 8 bits, (D + 1, pairs): they are such numbers already. */
function inBytes(bounds: readonly ScaledBounds[], pairs: number): Uint32Array {
  const D = bounds[0]?.least.length ?? 0;
  const words = new Uint32Array((D + 1) * pairs);
  for (const [chunk, { least, most, scale }] of bounds.entries()) {
    const byteOf = (x: number): number => {
      const byte = Array.from({ length: 256 }, (_, code) => code).find((code) => boundOfByte(code, scale) === x);
      if (byte === undefined) throw new Error(`${x} is no multiple of ${scale} that 8 bits hold.`);
      return byte;
    };
    const put = (row: number, value: number): void => {
      const at = row * pairs + (chunk >> 1);
      words[at] = ((words[at] ?? 0) | (value << (16 * (chunk & 1)))) >>> 0;
    };
    for (let c = 0; c < D; c++) put(c, byteOf(least[c] ?? Number.NaN) | (byteOf(most[c] ?? Number.NaN) << 8));
    put(D, toHalf(scale));
  }
  return words;
}

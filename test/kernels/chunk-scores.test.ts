// chunk-scores: logits of chunks on the GPU against f64, over bounds given by hand; the worked example of test/unit/policy/reading.test.ts among them.

import { afterAll, beforeAll, expect, test } from "vitest";
import { INFO_BYTES } from "../../src/cache/cache-info";
import type { Gpu } from "../../src/gpu/device";
import { bindChunkScores } from "../../src/kernels/chunk-scores";
import { half, toHalf } from "../reference/codec";
import { type Bounds, questLogit, sparseLogits } from "../reference/reading";
import { gaussian, seeded } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

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
      Array.from({ length: chunks }, (): Bounds => {
        const least = Float64Array.from({ length: D }, () => half(normal() - 1));
        return { least, most: least.map((x) => half(x + Math.abs(normal()))) };
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
async function scores({ D, G, group, chunks, channels, sparse }: Case, queries: readonly Float64Array[], bounds: readonly Bounds[][]): Promise<number[][]> {
  const pairs = Math.ceil(chunks / 2) + 1; // more room than is used
  const made: GPUBuffer[] = [];
  const make = (data: Uint32Array | Float32Array, usage?: GPUBufferUsageFlags): GPUBuffer => {
    const buffer = gpu.createBuffer("test", data.byteLength, "scratch", usage ? { usage } : {});
    gpu.write(buffer, 0, data);
    made.push(buffer);
    return buffer;
  };
  const uniform = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const packed = new Uint32Array(G * 2 * D * pairs);
  for (const [head, of] of bounds.entries())
    for (const [chunk, { least, most }] of of.entries())
      for (const [plane, values] of [least, most].entries())
        for (const [c, value] of values.entries()) {
          const at = (head * 2 * D + plane * D + c) * pairs + (chunk >> 1);
          packed[at] = ((packed[at] ?? 0) | (toHalf(value) << (16 * (chunk & 1)))) >>> 0;
        }
  const info = new Uint32Array(INFO_BYTES / 4); // only the number of formats and the head size are read
  info.set([1], 136);
  info.set([D, G], 136 + 11);
  const reading = new Uint32Array([1, 4, pairs, channels, sparse ? 1 : 0, 0, 12, 12 * G]);
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

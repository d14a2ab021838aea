// prefill-attention: chunk lengths around the workgroup, contexts before the chunk, groups of heads, head sizes, sharp softmax, with and without subgroups.

import { afterAll, describe, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { bindPrefillAttention, DROPPED } from "../../src/kernels/prefill-attention";
import { type AttentionShape, prefillAttention } from "../reference/prefill-attention";
import { unpackHalves } from "../reference/rope";
import { expectClose, tolerances } from "../tolerances";
import { normals, readFloats, run, seeded, stepOf, unwritten, upload } from "./fixtures";
import { hardwareLikeGpu, testGpu } from "./gpu";

const CASES: readonly (readonly [heads: number, kvHeads: number, headSize: number, tokens: number, context: number])[] = [
  [1, 1, 32, 1, 1],
  [6, 2, 32, 7, 7],
  [9, 3, 64, 8, 71],
  [9, 3, 64, 9, 9],
  [9, 3, 64, 65, 65],
  [4, 4, 32, 63, 64],
  [8, 1, 96, 3, 10],
  [4, 2, 128, 64, 130],
];

describe("prefill-attention", async () => {
  const gpu = await testGpu();
  afterAll(() => gpu.dispose());
  test.each(CASES)("%d heads, %d kv heads of %d, %d tokens of %d", (...shape) => check(gpu, shape));
});

test("rows that were dropped are not attended to", async () => {
  const gpu = await testGpu();
  await check(gpu, [6, 2, 32, 5, 40], [1, 2, 17, 34, 37]);
  await check(gpu, [4, 2, 64, 5, 21], [9, 10, 11, 12]);
  gpu.dispose();
});

test("without subgroups, as on software and on hardware adapters", async () => {
  for (const gpu of [await testGpu(["subgroups", "shader-f16"]), await hardwareLikeGpu()]) {
    await check(gpu, [6, 2, 32, 23, 40]);
    await check(gpu, [6, 2, 32, 5, 40], [1, 2, 17, 34, 37]);
    gpu.dispose();
  }
});

async function check(gpu: Gpu, [heads, kvHeads, headSize, tokens, context]: (typeof CASES)[number], dropped?: readonly number[]): Promise<void> {
  const capacity = context + 3;
  const shape: AttentionShape = { heads, kvHeads, headSize, tokens, context, capacity, ...(dropped && { dropped }) };
  const queries = normals(tokens, tokens * heads * headSize); // outliers make some softmaxes sharp
  const [keys, values] = [11, 12].map((seed) => halfWords(seed, kvHeads, capacity, headSize, context)) as [Uint32Array, Uint32Array];
  for (const row of dropped ?? [])
    for (let g = 0; g < kvHeads; g++) {
      keys.fill(DROPPED, ((g * capacity + row) * headSize) / 2, ((g * capacity + row + 1) * headSize) / 2);
      values.fill(0, ((g * capacity + row) * headSize) / 2, ((g * capacity + row + 1) * headSize) / 2);
    }
  const output = unwritten(gpu, tokens * heads * headSize);
  const step = stepOf(gpu, { tokens, context });
  const views = { queries: upload(gpu, queries), keys: upload(gpu, keys), values: upload(gpu, values), output };
  const op = bindPrefillAttention(gpu, { heads, kvHeads, headSize, step, ...views, masked: dropped !== undefined });
  await run(gpu, (recorder) => op.record(recorder, tokens));
  expectClose(await readFloats(gpu, output), prefillAttention(queries, unpackHalves(keys), unpackHalves(values), shape), tolerances.attention);
}

/** Random f16 pairs of size 2^-3..2^1; rows past the context are NaN. */
function halfWords(seed: number, kvHeads: number, capacity: number, headSize: number, context: number): Uint32Array {
  const next = seeded(seed);
  const half = (): number => 0x3000 + (next() % 0x1000) + (next() & 0x80000000 ? 0x8000 : 0);
  return Uint32Array.from({ length: (kvHeads * capacity * headSize) / 2 }, (_, i) => {
    const row = Math.floor(i / (headSize / 2)) % capacity;
    return row < context ? half() * 65536 + half() : 0x7e007e00;
  });
}

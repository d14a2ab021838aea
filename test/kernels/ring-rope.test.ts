// ring-rope: a decoded token's queries, and its key and value as coded rows: both pairings, head sizes that are no power of two, outliers, values beyond f16.

import { afterAll, expect, test } from "vitest";
import type { BufferView } from "../../src/gpu/kernel";
import { bindRingRope } from "../../src/kernels/ring-rope";
import { hadamard } from "../reference/codec";
import { slotsInRing } from "../reference/page-table";
import { rope, ropeFrequencies } from "../reference/rope";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { normals, readFloats, run, stepOf, unwritten, upload } from "./fixtures";
import { testGpu } from "./gpu";
import { turns } from "./rope-case";

const gpu = await testGpu();
afterAll(() => gpu.dispose());

const POSITION = 21;
const [SINKS, RING] = [4, 7];
const ROW = SINKS + (POSITION % RING);

test.each(
  (["neighbour", "half"] as const).flatMap((pairing) => [
    [pairing, 32, 2, 3] as const,
    [pairing, 64, 3, 3] as const,
    [pairing, 96, 1, 8] as const,
    [pairing, 128, 2, 1] as const,
  ]),
)("%s, head size %d, %d kv heads of %d queries", async (pairing, D, G, group) => {
  const precision = { kind: "uniform", format: "k8v8" } as const;
  const bench = new CacheBench(gpu, { D, G, group }, { precision, ringBits: 8, sinks: SINKS, ring: RING }, { tokens: POSITION + 2 });
  const { buffers, plan } = bench.cache;
  const H = G * group;
  const frequencies = ropeFrequencies(D, 10000);
  const qkv = normals(D + G, (H + 2 * G) * D);
  qkv[H * D + 3] = 500; // one channel of the first key that dwarfs the others
  qkv[(H + 2 * G) * D - 1] = 1e5; // of the last value: after the turn all its channels are large, none beyond f16
  const queries = unwritten(gpu, H * D);
  const args = { info: buffers.info, step: stepOf(gpu, { tokens: 1, firstPosition: POSITION, keyRow: ROW }), pairing, queries };
  const rows: BufferView = buffers.ringRows(1);
  const before = new Uint32Array(await gpu.read(buffers.ring));
  const op = bindRingRope(gpu, plan.geometry, { ...args, qkv: upload(gpu, qkv), table: upload(gpu, turns(frequencies, POSITION + 1)), rows });
  await run(gpu, (recorder) => op.record(recorder));

  const vector = (at: number): Float32Array => qkv.subarray(at * D, (at + 1) * D);
  const wantQueries = Array.from({ length: H }, (_, h) => [...rope(vector(h), POSITION, frequencies, pairing)]).flat();
  expectClose(await readFloats(gpu, queries), wantQueries, tolerances.rotation);
  const words = await bench.words();
  const changed = words.ring.filter((word, at) => word !== before[at]).length;
  expect(changed).toBeLessThanOrEqual(2 * G * (D / 4 + 1));
  for (let g = 0; g < G; g++) {
    const slot = slotsInRing(words, 1, g, POSITION + 1, POSITION)[SINKS];
    const [key, value] = [rope(vector(H + g), POSITION, frequencies, pairing), vector(H + G + g)];
    for (const [coded, exact] of [
      [slot?.keyCoded, key],
      [slot?.valueCoded, value],
    ] as const) {
      if (!coded) return expect.fail("no slot");
      const turned = hadamard(exact);
      const [least, most] = [Math.min(...turned), Math.max(...turned)];
      expectClose([coded.scale, coded.zero], [(most - least) / 255, least], tolerances.half);
      // Every channel within half a step, as far as f16 lets scale and zero reach the largest and the smallest.
      const slack = 0.502 * coded.scale + (Math.abs(least) + Math.abs(most)) * 2 ** -10;
      for (const [c, x] of turned.entries()) expect(Math.abs(coded.zero + coded.scale * (coded.codes[c] ?? Number.NaN) - x)).toBeLessThan(slack);
    }
  }
  bench.dispose();
});

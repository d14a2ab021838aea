// pack-moments: a prompt's moments as a cache keeps them.

import { afterAll, beforeAll, expect, test } from "vitest";
import { packMoments } from "../../src/kernels/pack-moments";
import { keptLayout, momentFloats } from "../../src/kernels/scoring";
import { packRecords, unpackRecords } from "../reference/kept-moments";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { normals } from "./fixtures";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

/** Rounded and packed by the GPU. */
async function pack(records: Float32Array, { G, D }: { readonly G: number; readonly D: number }): Promise<Uint32Array> {
  const { rope } = scoringCase({ T: 1, H: G, G, D, sinks: 0 }, "half");
  const dims = { heads: G, kvHeads: G, headSize: D, rope };
  const size = G * keptLayout(dims).words;
  const kept = bench.floats(size);
  const got = await bench.run(packMoments(bench.gpu, dims, { moments: bench.floats(records), kept }), kept, size);
  return new Uint32Array(got.buffer, got.byteOffset, got.length);
}

test.each([
  [8, 1],
  [64, 3],
  [160, 2],
])("head size %d, %d heads: the nearest f16, scalars as they are", async (D, G) => {
  const floats = momentFloats({ headSize: D });
  const records = normals(3, G * floats, 100).map((value, n) => value * 10 ** ((n % 7) - 3));
  records.set([70_000, -1e9, 65_519, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 1e-6, 0], floats * (G - 1)); // beyond f16, ties, below its normal numbers
  const got = await pack(records, { G, D });
  const want = packRecords(records, { G, D });
  const numbers = unpackRecords(got, { G, D });
  const wanted = unpackRecords(want, { G, D });
  expectClose(numbers, wanted, tolerances.half);
  const normal = Array.from(records.keys()).filter((n) => n % floats >= floats - 4 || Math.abs(records[n]!) >= 2 ** -14);
  expect(normal.length).toBeGreaterThan(0.9 * records.length);
  expect(normal.map((n) => numbers[n])).toEqual(normal.map((n) => wanted[n]));
});

test("by hand: pairs of a plane share a word, the first in its low half", async () => {
  const records = new Float32Array(momentFloats({ headSize: 8 }));
  records.set([1, -2, 0.5, 1 / 3]); // mean x of pairs 0 to 3
  records.set([6.103515625e-5], 26); // mean unit key y of pair 2: f16's smallest normal number
  records.set([1 / 3, 5, 0.1, 1_000_001], 28);
  const got = await pack(records, { G: 1, D: 8 });
  expect(Array.from(got.subarray(0, 2), (word) => word.toString(16))).toEqual(["c0003c00", "35553800"]);
  expect(got[13]).toBe(0x0400);
  expect(Array.from(new Float32Array(got.slice(14).buffer))).toEqual([Math.fround(1 / 3), 5, Math.fround(0.1), 1_000_001]);
});

// update-moments: a token's queries added to kept moments; its weight is 1/count, and never below 1/limit; small as it is, nothing of it is lost.

import { afterAll, beforeAll, expect, test } from "vitest";
import { keptLayout, momentFloats } from "../../src/kernels/scoring";
import { updateMoments } from "../../src/kernels/update-moments";
import { type Dims, queryMoments } from "../reference/expected-attention";
import { addQueries, poolMoments } from "../reference/group-moments";
import { byLot, followQueries, momentsOf, packRecords, planesOf, unpackRecords } from "../reference/kept-moments";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

/** A layer's statistics with these records. */
function kept(records: readonly number[], { G, D }: Dims): { buffer: GPUBuffer; read: () => Promise<Float64Array> } {
  const { first, words, layerBytes } = keptLayout({ kvHeads: G, headSize: D });
  const data = new Uint32Array(layerBytes / 4).fill(0x7fff7fff);
  data.set(packRecords(records, { G, D }), first);
  const buffer = bench.keep(bench.gpu.createBuffer("test.statistics", layerBytes, "scratch"));
  bench.gpu.write(buffer, 0, data);
  return {
    buffer,
    async read() {
      const got = new Uint32Array(await bench.gpu.read(buffer));
      const others = (from: Uint32Array): Uint32Array[] => [from.subarray(0, first), from.subarray(first + G * words)];
      expect(others(got), "what stands around the records").toEqual(others(data));
      return unpackRecords(got.slice(first, first + G * words), { G, D });
    },
  };
}

test.each([
  ["half", 64, 30],
  ["neighbour", 160, 30],
  ["neighbour", 8, 5000],
  ["half", 80, 99],
] as const)("%s pairing, head size %d, %d queries so far", async (pairing, D, count) => {
  const dims: Dims = { T: 30, H: 6, G: 2, D, sinks: 0 };
  const given = scoringCase(dims, pairing);
  const pooled = poolMoments(queryMoments(given.queries, dims), dims);
  const queries = scoringCase({ ...dims, T: 1 }, pairing, { seed: 9 }).queries;
  const rest = [...Array.from({ length: D }, (_, i) => i), 5, 6]; // mean key and normalisers: to be left alone
  const floats = momentFloats({ headSize: D });
  const records = [0, 1].flatMap((g) => [...planesOf(pooled, g, pairing, D), ...rest, 7, count]);
  const { buffer, read } = kept(records, dims);
  const op = updateMoments(bench.gpu, { heads: 6, kvHeads: 2, headSize: D, rope: given.rope }, { qkv: bench.floats(queries), moments: buffer, limit: 100 });
  await bench.run(op, buffer, 0);
  const got = await read();
  const want = followQueries(unpackRecords(packRecords(records, dims), dims), queries, 100, pairing, dims);
  for (const g of [0, 1]) {
    const part = (from: Float64Array, first: number, end: number): number[] => Array.from(from.subarray(g * floats + first, g * floats + end));
    const planes = (5 * D) / 2;
    expect(part(got, planes, floats - 2)).toEqual(rest);
    expectClose(part(got, floats - 2, floats), part(want, floats - 2, floats), tolerances.moments);
    // Where f32 sums and f64 sums stand on two sides of the lot, a step apart.
    expectClose(part(got, 0, planes), part(want, 0, planes), tolerances.half);
    const same = part(got, 0, planes).filter((value, n) => value === part(want, 0, planes)[n]).length;
    expect(same, `numbers that are the same, of ${planes}`).toBeGreaterThanOrEqual(Math.floor(0.98 * planes));
  }
});

test("by hand: 1.0003 is rounded up in as many lots of 8,192 as it is parts of a step", () => {
  const value = 1 + 0.25 * 2 ** -10; // a quarter of a step above 1
  const ups = Array.from({ length: 8192 }, (_, lot) => byLot(value, lot)).filter((rounded) => rounded > 1).length;
  expect(ups).toBe(2048);
  expect(byLot(-value, 8191)).toBe(-(1 + 2 ** -10));
  expect(byLot(-value, 0)).toBe(-1);
  expect(byLot(1, 8191)).toBe(1);
  expect(byLot(1e6, 8191)).toBe(65504);
});

test("an average of 100 follows 2,000 queries of 110, a thousandth each, which are less than half a step of f16", async () => {
  const dims: Dims = { T: 1, H: 2, G: 2, D: 64, sinks: 0 };
  const { rope } = scoringCase(dims, "half");
  const record = [...Array.from({ length: 64 }, () => 100), ...Array.from({ length: 96 }, (_, n) => (n >= 32 && n < 64 ? 0 : 1)), ...new Array(64).fill(0)];
  const records = [0, 1].flatMap(() => [...record, 0, 0, 0, 5000]);
  const queries = new Float64Array(2 * 64).fill(110);
  const { buffer, read } = kept(records, dims);
  const args = { qkv: bench.floats(queries), moments: buffer, limit: 1024 };
  const op = updateMoments(bench.gpu, { heads: 2, kvHeads: 2, headSize: 64, rope }, args);
  const updates = 2000;
  await bench.run({ record: (recorder) => Array.from({ length: updates }, () => op.record(recorder)) }, buffer, 0);
  const got = momentsOf(await read(), "half", dims);
  let want = momentsOf(records, "half", dims) as ReturnType<typeof addQueries>;
  for (let n = 0; n < updates; n++) want = addQueries(want, queries, 1 / 1024, dims);
  expect(want.mean[0]).toBeGreaterThan(108.5);
  // A token moves the mean by 10/1024 at most, a sixth of a step of 1/16: lots add (distance to 110) / 1024 / 16 of variance a token,
  // together .076 of what is left after 2,000: .28 a channel, .024 on average of 128. Four times that on average, five at worst.
  const away = Array.from(got.mean, (value, i) => value - want.mean[i]!);
  expect(Math.abs(away.reduce((a, b) => a + b, 0) / away.length), "average").toBeLessThan(0.1);
  expect(Math.max(...away.map(Math.abs)), "worst channel").toBeLessThan(1.4);
  // The spread tells how far the mean has come: of 12.3 the way's randomness leaves 1.5 a channel, .13 on average.
  expect(want.covariance[0]).toBeGreaterThan(12);
  const spread = Array.from({ length: 128 }, (_, n) => n * 64 + (n % 64)).map((at) => got.covariance[at]! - want.covariance[at]!);
  expect(Math.abs(spread.reduce((a, b) => a + b, 0) / 128), "average of the spread").toBeLessThan(0.6);
});

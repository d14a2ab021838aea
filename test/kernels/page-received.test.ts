// page-received: what a token pays to the slots in pages, whatever they are coded in, against f64; added to what stood there.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { pageReceived } from "../../src/kernels/page-received";
import { randomCalibration } from "../reference/random-bases";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";
import { pageMasses } from "./page-masses";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const CASES: readonly [string, PolicySpec["precision"], number][] = [
  ["16 bits, 8, 4 and 2", { kind: "tiers", formats: ["k2v2", "k4v4", "k8v8", "k16v16"] }, 30_000],
  ["sparse and calibrated ones", { kind: "tiers", formats: ["k1.5v2", "k3v2", "k4v4-quarter", "k8v8-half"] }, 30_000],
  ["all in one format", { kind: "uniform", format: "k4v4" }, 0],
];

test.each(CASES)("%s", { timeout: 300_000 }, async (_, precision, budgetBytes) => {
  const shape = { D: 32, G: 2, group: 3, layers: 1 };
  const calibration = randomCalibration({ L: 1, H: 6, G: 2, D: 32 });
  const tokens = 163;
  const bench = new CacheBench(gpu, shape, { precision }, { tokens, calibration, ...(budgetBytes && { budgetBytes }) });
  await bench.prompt(160);
  const received = gpu.createBuffer("Test.received", 2 * tokens * 4, "scratch");
  gpu.write(received, 0, new Float32Array(2 * tokens).fill(0.5));
  const { buffers, plan } = bench.cache;
  const op = pageReceived(gpu, plan.geometry, {
    ...bench.decode,
    info: buffers.info,
    units: buffers.units,
    table: buffers.table(0),
    partials: buffers.partials,
    received,
    bases: buffers.bases(0),
    pool: buffers.pool,
    pageUnits: plan.units - 1,
  });
  await gpu.kernels.ready();
  const sums = Array.from({ length: 2 }, () => new Float64Array(tokens).fill(0.5));
  for (let n = 0; n < 2; n++) {
    await bench.append();
    const recorder = gpu.record();
    op.record(recorder);
    recorder.submit();
    const masses = await pageMasses(bench, await bench.words(), 0);
    for (const [head, row] of masses.entries())
      for (const [position, mass] of row.entries()) (sums[head] ?? [])[position] = (sums[head]?.[position] ?? 0) + mass;
  }
  const got = new Float32Array(await gpu.read(received));
  for (const [head, row] of sums.entries()) expectClose(got.subarray(head * tokens, (head + 1) * tokens), row, tolerances.cacheAttention);
  expect(sums.flatMap((row) => Array.from(row)).filter((sum) => sum > 0.5).length).toBeGreaterThan(100);
  gpu.destroyBuffer(received);
  bench.dispose();
});

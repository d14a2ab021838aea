// rms-norm: ragged rows, rows from the step's first, the last only, an outlier that dwarfs its row, a row of zeros.

import { afterAll, describe, expect, test } from "vitest";
import { bindRmsNorm } from "../../src/kernels/rms-norm";
import { rmsNorm } from "../reference/rms-norm";
import { expectClose, tolerances } from "../tolerances";
import { normals, readFloats, run, stepOf, unwritten, upload } from "./fixtures";
import { hardwareLikeGpu, testGpu } from "./gpu";

describe.each([
  ["software", testGpu],
  ["hardware", hardwareLikeGpu],
] as const)("rms-norm as on %s adapters", async (_, open) => {
  const gpu = await open();
  afterAll(() => gpu.dispose());

  const EPSILON = 1e-5;

  test.each([
    [1, 32],
    [7, 192],
    [9, 576],
    [65, 100],
  ])("%d rows of %d columns", async (rows, cols) => {
    const hidden = normals(rows, (rows + 3) * cols);
    hidden[3 * cols + 5] = 3000;
    const values = normals(99, cols);
    const output = unwritten(gpu, rows * cols);
    const gain = { name: "gain", length: cols, buffer: upload(gpu, values) };
    const step = stepOf(gpu, { tokens: rows, firstRow: 3 });
    const op = bindRmsNorm(gpu, { step, hidden: upload(gpu, hidden), gain, output, epsilon: EPSILON });
    await run(gpu, (recorder) => op.record(recorder, rows));
    expectClose(await readFloats(gpu, output), rmsNorm(hidden.subarray(3 * cols), values, rows, cols, EPSILON), tolerances.norm);
  });

  test("the last row of a chunk; zeros stay zeros", async () => {
    const hidden = normals(4, 10 * 64);
    const values = normals(5, 64);
    const gain = { name: "gain", length: 64, buffer: upload(gpu, values) };
    const output = unwritten(gpu, 64);
    const op = bindRmsNorm(gpu, { step: stepOf(gpu, { tokens: 4, firstRow: 2 }), hidden: upload(gpu, hidden), gain, output, epsilon: EPSILON, last: true });
    await run(gpu, (recorder) => op.record(recorder, 4));
    expectClose(await readFloats(gpu, output), rmsNorm(hidden.subarray(5 * 64), values, 1, 64, EPSILON), tolerances.norm);
    const zero = bindRmsNorm(gpu, { step: stepOf(gpu, { tokens: 1 }), hidden: upload(gpu, new Float32Array(64)), gain, output, epsilon: EPSILON });
    await run(gpu, (recorder) => zero.record(recorder, 1));
    expect([...(await readFloats(gpu, output))].every((value) => value === 0)).toBe(true);
  });
});

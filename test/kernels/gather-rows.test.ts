// gather-rows: chosen rows bit by bit, one and many, of ragged widths, from a buffer behind others' words; what is not chosen is not touched.

import { afterAll, expect, test } from "vitest";
import { bindGatherRows } from "../../src/kernels/gather-rows";
import { normals, readFloats, run, unwritten, upload } from "./fixtures";
import { testGpu } from "./gpu";

const gpu = await testGpu();
afterAll(() => gpu.dispose());

test.each([
  [1, 4, [0]],
  [9, 100, [8]],
  [70, 192, [0, 3, 4, 64, 69]],
  [65, 576, Array.from({ length: 65 }, (_, row) => row)],
  [33, 260, [1, 31, 32]],
])("of %d rows of %d columns, %j", async (rows, columns, chosen) => {
  const source = normals(rows + columns, rows * columns);
  const gathered = unwritten(gpu, (chosen.length + 1) * columns);
  const words = new Uint32Array(64 + chosen.length).fill(0xffffffff); // positions stand behind keys and values
  words.set(chosen, 64);
  const view = { buffer: upload(gpu, words), offset: 256, size: chosen.length * 4 };
  const op = bindGatherRows(gpu, { columns, count: chosen.length, chosen: view, source: upload(gpu, source), gathered });
  await run(gpu, (recorder) => op.record(recorder));
  const got = await readFloats(gpu, gathered);
  expect([...got.subarray(0, chosen.length * columns)]).toEqual(chosen.flatMap((row) => [...source.subarray(row * columns, (row + 1) * columns)]));
  expect(got.subarray(chosen.length * columns).every(Number.isNaN)).toBe(true);
});

test("columns that are no fours are refused", () => {
  const buffer = unwritten(gpu, 16);
  expect(() => bindGatherRows(gpu, { columns: 6, count: 1, chosen: buffer, source: buffer, gathered: buffer })).toThrow("expected a multiple of 4");
});

// rope: both pairings, several head sizes and chunk lengths, rows and positions from the step, values beyond f16.

import { afterAll, expect, test } from "vitest";
import { bindRope } from "../../src/kernels/rope";
import { rope, ropeFrequencies, unpackHalves } from "../reference/rope";
import { expectClose, tolerances } from "../tolerances";
import { normals, readFloats, run, stepOf, unwritten, upload } from "./fixtures";
import { testGpu } from "./gpu";
import { turns } from "./rope-case";

const gpu = await testGpu();
afterAll(() => gpu.dispose());

const H = 6;
const G = 2;
const CAPACITY = 80;
const KEY_ROW = 5;
const FIRST = 100;
const MARK = 0x12345678; // what nobody may overwrite

test.each(
  (["neighbour", "half"] as const).flatMap((pairing) => [
    [pairing, 32, 9] as const,
    [pairing, 64, 65] as const,
    [pairing, 96, 1] as const,
    [pairing, 128, 7] as const,
  ]),
)("%s, head size %d, %d tokens", async (pairing, D, tokens) => {
  const frequencies = ropeFrequencies(D, 10000);
  const width = (H + 2 * G) * D;
  const qkv = normals(D + tokens, tokens * width);
  qkv[width - 1] = 1e6; // a value of the first token: clamped to f16's largest
  const buffers = {
    qkv: upload(gpu, qkv),
    table: upload(gpu, turns(frequencies, FIRST + tokens)),
    queries: unwritten(gpu, tokens * H * D),
    keys: upload(gpu, new Uint32Array((G * CAPACITY * D) / 2).fill(MARK)),
    values: upload(gpu, new Uint32Array((G * CAPACITY * D) / 2).fill(MARK)),
  };
  const step = stepOf(gpu, { tokens, firstPosition: FIRST, keyRow: KEY_ROW });
  const op = bindRope(gpu, { heads: H, kvHeads: G, headSize: D, pairing, step, ...buffers });
  await run(gpu, (recorder) => op.record(recorder, tokens));

  const head = (t: number, at: number): Float32Array => qkv.subarray(t * width + at * D, t * width + (at + 1) * D);
  const each = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
  const wantQueries = each(tokens, (t) => each(H, (h) => [...rope(head(t, h), FIRST + t, frequencies, pairing)])).flat(2);
  expectClose(await readFloats(gpu, buffers.queries), wantQueries, tolerances.rotation);
  const keys = new Uint32Array(await gpu.read(buffers.keys));
  const values = new Uint32Array(await gpu.read(buffers.values));
  for (let g = 0; g < G; g++) {
    const rows = (words: Uint32Array): Float64Array =>
      unpackHalves(words.slice((g * CAPACITY + KEY_ROW) * (D / 2), (g * CAPACITY + KEY_ROW + tokens) * (D / 2)));
    expectClose(rows(keys), each(tokens, (t) => [...rope(head(t, H + g), FIRST + t, frequencies, pairing)]).flat(), tolerances.half);
    expectClose(rows(values), each(tokens, (t) => [...head(t, H + G + g)].map((value) => Math.min(value, 65504))).flat(), tolerances.half);
  }
  const untouched = G * (CAPACITY - tokens) * (D / 2);
  expect(keys.filter((word) => word === MARK).length).toBe(untouched);
  expect(values.filter((word) => word === MARK).length).toBe(untouched);
});

// embed: every kind of weight, shards, and the three places ids come from.

import { afterAll, test } from "vitest";
import { bindEmbed, type IdSource } from "../../src/kernels/embed";
import type { WeightKind } from "../../src/model/weights";
import { expectClose, tolerances } from "../tolerances";
import { readFloats, run, stepOf, testWeight, unwritten, upload } from "./fixtures";
import { testGpu } from "./gpu";

const gpu = await testGpu();
afterAll(() => gpu.dispose());

const KINDS: readonly WeightKind[] = ["f32", "f16", "bf16", "q8", "q4", "q5", "q6"];
const COLS = 1056; // 33 units: one more than a workgroup

test.each(KINDS)("%s in shards, ids of every shard and both ends", async (kind) => {
  const { weight, values } = testWeight(gpu, kind, 200, COLS, { shardRows: 128 });
  const ids = [0, 127, 128, 199, 64, 5, 5];
  await check(weight, values, { firstRow: 0 }, "chunk", ids, ids);
});

test.each([
  ["prompt", { firstRow: 2 }, [7, 8]],
  ["chunk", { firstRow: 2 }, [3, 4]],
  ["previous", { firstRow: 0, index: 4 }, [9]],
] as const)("ids from %s", async (idsFrom, step, want) => {
  const { weight, values } = testWeight(gpu, "q8", 64, COLS);
  const ids = idsFrom === "prompt" ? [0, 0, 7, 8] : idsFrom === "chunk" ? [3, 4] : [0, 0, 0, 9];
  await check(weight, values, step, idsFrom, ids, want);
});

async function check(
  embedding: Parameters<typeof bindEmbed>[1]["embedding"],
  values: Float64Array,
  step: { firstRow: number; index?: number },
  idsFrom: IdSource,
  ids: readonly number[],
  want: readonly number[],
): Promise<void> {
  const hidden = unwritten(gpu, (step.firstRow + want.length) * COLS);
  const op = bindEmbed(gpu, { step: stepOf(gpu, { ...step, tokens: want.length }), embedding, ids: upload(gpu, Uint32Array.from(ids)), idsFrom, hidden });
  await run(gpu, (recorder) => op.record(recorder, want.length));
  const rows = want.flatMap((id) => [...values.subarray(id * COLS, (id + 1) * COLS)]);
  expectClose((await readFloats(gpu, hidden)).subarray(step.firstRow * COLS), rows, tolerances.unpacked);
}

// gather-rows: shaders/gather-rows.wgsl, chosen rows of a table of f32: hidden states that go on, and the turns of their positions.

import code from "../../shaders/gather-rows.wgsl?raw";
import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";

export interface GatherRowsArgs {
  readonly columns: number; // C, a multiple of 4
  readonly count: number; // n
  readonly chosen: BufferView; // (n) u32: rows of the source
  readonly source: BufferView; // (rows, C) f32
  readonly gathered: BufferView; // (n, C) f32
}

export function bindGatherRows(gpu: Gpu, args: GatherRowsArgs): Op {
  const { columns, count } = args;
  if (columns % 4 !== 0) throw new EngineError("INTERNAL", `gather-rows: ${columns} columns, expected a multiple of 4.`);
  const WG = 64;
  const WIDTH = columns / 4;
  const kernel = gpu.kernels.get({ name: "gather-rows", code: [code], bindings: ["read", "read", "write"], constants: { WG, WIDTH } });
  const group = kernel.bind([args.chosen, args.source, args.gathered]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(WIDTH / WG), count) };
}

// hot-slots: one dispatch of shaders/hot-slots.wgsl: the positions that a layer's pages hold, which of them demoted, and whose importance of these rose.

import shader from "../../shaders/hot-slots.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface HotSlotsArgs {
  readonly info: BufferView;
  readonly table: BufferView;
  readonly hot: BufferView; // (3, G, words) u32, a bit a position, zero before: held, in fewer bits than a guest has, and risen besides
  readonly formats: number; // of the policy
  readonly pool: readonly GPUBuffer[];
}

export function hotSlots(gpu: Gpu, geometry: CacheGeometry, args: HotSlotsArgs): Op {
  const spec = { name: "hot-slots", code: [shader], bindings: ["uniform", "read", "write"] as const, workgroup: 64 };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.info, args.table, args.hot], { pool: { access: "read", segments: args.pool } });
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads * args.formats) };
}

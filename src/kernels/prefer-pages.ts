// prefer-pages: one dispatch of shaders/prefer-pages.wgsl.

import shader from "../../shaders/prefer-pages.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface PreferPagesArgs {
  readonly info: BufferView;
  readonly share: BufferView; // uniform: layers seen, pages of the pool, most pages of one layer, words from table to table, least pages of one layer; 32 bytes
  readonly preferences: BufferView; // (L) f32
  readonly tables: BufferView; // (L, tableStride) u32
}

/** Page budgets of the layers seen so far in proportion to their preferences. */
export function bindPreferPages(gpu: Gpu, geometry: CacheGeometry, args: PreferPagesArgs): Op {
  const spec = { name: "prefer-pages", code: [shader], bindings: ["uniform", "uniform", "read", "write"] as const, workgroup: 64 };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.info, args.share, args.preferences, args.tables]);
  return { record: (recorder) => recorder.dispatch(kernel, group, 1) };
}

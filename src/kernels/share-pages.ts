// share-pages: one dispatch of shaders/share-pages.wgsl.

import shader from "../../shaders/share-pages.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface SharePagesArgs {
  readonly info: BufferView;
  readonly share: BufferView; // uniform: layers seen, pages of the pool, most pages of one layer, words from table to table, least pages of one layer; 32 bytes
  readonly levels: BufferView; // (L, G, LEVELS) u32
  readonly tables: BufferView; // (L, tableStride) u32
}

/** Page budgets of the layers seen so far under one threshold of importance. */
export function bindSharePages(gpu: Gpu, geometry: CacheGeometry, args: SharePagesArgs): Op {
  const spec = { name: "share-pages", code: [shader], bindings: ["uniform", "uniform", "read", "write"] as const, workgroup: 64 };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.info, args.share, args.levels, args.tables]);
  return { record: (recorder) => recorder.dispatch(kernel, group, 1) };
}

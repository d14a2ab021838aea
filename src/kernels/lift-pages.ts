// lift-pages: copies a layer's pages into scratch before they are given back and written anew.

import shader from "../../shaders/lift-pages.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface LiftPagesArgs {
  readonly info: BufferView;
  readonly table: BufferView;
  readonly lifted: BufferView; // (pages, pageWords) u32
  readonly pool: readonly GPUBuffer[];
  /** Most pages the layer can have. */
  readonly pages: number;
}

export function bindLiftPages(gpu: Gpu, geometry: CacheGeometry, args: LiftPagesArgs): { record(recorder: Recorder): void } {
  const spec = { name: "lift-pages", code: [shader], bindings: ["uniform", "read", "write"] as const, workgroup: 64 };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.info, args.table, args.lifted], { pool: { access: "read", segments: args.pool } });
  return { record: (recorder) => recorder.dispatch(kernel, group, args.pages) };
}

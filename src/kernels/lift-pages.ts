// lift-pages: copies a layer's pages into scratch before they are given back and written anew, and opens the rows of a coded ring.

import noOpenRing from "../../shaders/lib/no-open-ring.wgsl?raw";
import openRing from "../../shaders/lib/open-ring.wgsl?raw";
import ringRows from "../../shaders/lib/ring-rows.wgsl?raw";
import turnChannels from "../../shaders/lib/turn-channels.wgsl?raw";
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
  /** Most pages the layer can have; 0 where only rows are to be opened. */
  readonly pages: number;
  /** A ring kept in 8 bits, and where its rows go as f16 pairs; absent where it is kept in 16. */
  readonly ring?: { readonly coded: BufferView; readonly opened: BufferView; readonly slots: number } | undefined;
}

export function bindLiftPages(gpu: Gpu, geometry: CacheGeometry, args: LiftPagesArgs): { record(recorder: Recorder): void } {
  const { ring } = args;
  const spec = {
    name: "lift-pages",
    code: [...(ring ? [ringRows, turnChannels, openRing] : [noOpenRing]), shader],
    bindings: ["uniform", "read", "write", ...(ring ? (["read", "write"] as const) : [])] as const,
    workgroup: 64,
    ...(ring && { literals: { TURNED: geometry.headSize } }),
  };
  const buffers = [args.info, args.table, args.lifted, ...(ring ? [ring.coded, ring.opened] : [])];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers, { pool: { access: "read", segments: args.pool } });
  const rows = ring ? 2 * geometry.kvHeads * ring.slots : 0;
  return { record: (recorder) => recorder.dispatch(kernel, group, args.pages + rows) };
}

// fold-markers: takes what a compression dropped into the markers' mean keys and values. After place-markers.

import shader from "../../shaders/fold-markers.wgsl?raw";
import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import extraRows from "../../shaders/lib/extra-rows.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface FoldMarkersArgs {
  readonly info: BufferView;
  readonly step: BufferView; // CompressStep
  readonly table: BufferView; // the layer's, with its means and extra rows
  readonly lifted: BufferView;
  readonly source: BufferView;
  readonly candidates: BufferView; // with choices in them
  /** The layer's calibrated bases (src/cache/bases.ts), where a format needs them. */
  readonly bases?: BufferView | undefined;
  /** Rows a kv head. */
  readonly markers: number;
}

export function bindFoldMarkers(gpu: Gpu, geometry: CacheGeometry, args: FoldMarkersArgs): Op {
  const spec = {
    name: "fold-markers",
    code: [compressStep, extraRows, shader],
    bindings: ["uniform", "uniform", "write", "read", "read", "read"] as const,
    workgroup: 64,
  };
  const buffers = [args.info, args.step, args.table, args.lifted, args.source, args.candidates];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers, { bases: args.bases });
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads, args.markers) };
}

// place-markers: cuts the evicted positions of every kv head into spans, after a compression has chosen what it drops.

import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import extraRows from "../../shaders/lib/extra-rows.wgsl?raw";
import shader from "../../shaders/place-markers.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface PlaceMarkersArgs {
  readonly info: BufferView;
  readonly step: BufferView; // CompressStep
  readonly candidates: BufferView; // (G, numCandidates) vec4u, with choices in them
  readonly table: BufferView; // the layer's, with its extra rows
}

export function bindPlaceMarkers(gpu: Gpu, geometry: CacheGeometry, args: PlaceMarkersArgs): Op {
  const spec = {
    name: "place-markers",
    code: [compressStep, extraRows, shader],
    bindings: ["uniform", "uniform", "read", "write"] as const,
    workgroup: 64,
  };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.info, args.step, args.candidates, args.table]);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads) };
}

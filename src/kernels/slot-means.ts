// slot-means: mean key and value of the first slots that come in, which all codes of the cache are centred on.

import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import shader from "../../shaders/slot-means.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface SlotMeansArgs {
  readonly step: BufferView; // CompressStep
  readonly source: BufferView; // (2, G, capacity, D/2) u32: f16 pairs of keys, then values
  readonly means: BufferView; // (G, 2, D/2) u32: f16 pairs
}

export function bindSlotMeans(gpu: Gpu, geometry: CacheGeometry, args: SlotMeansArgs): { record(recorder: Recorder): void } {
  const pairs = geometry.headSize / 2;
  const workgroup = pairs * Math.max(1, Math.floor(256 / pairs)); // lanes = (part of the rows, pair of channels)
  const spec = { name: "slot-means", code: [compressStep, shader], bindings: ["uniform", "read", "write"] as const, workgroup };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.step, args.source, args.means]);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads, 2) };
}

// ring-fill: the prompt's sinks and newest tokens go from the staging buffer to the ring's rows.

import shader from "../../shaders/ring-fill.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface RingFillArgs {
  readonly params: BufferView; // RingFill
  readonly source: BufferView; // (2, G, capacity, D/2) u32
  readonly rows: BufferView; // (2, G, ringSlots, D/2) u32
}

export function bindRingFill(gpu: Gpu, geometry: CacheGeometry, args: RingFillArgs): { record(recorder: Recorder, rows: number): void } {
  const spec = { name: "ring-fill", code: [shader], bindings: ["uniform", "read", "write"] as const, workgroup: 32 };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.params, args.source, args.rows]);
  return { record: (recorder, rows) => recorder.dispatch(kernel, group, rows, geometry.kvHeads) };
}

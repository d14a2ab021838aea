// ring-fill: the prompt's sinks and newest tokens go from the staging buffer to the ring's rows.

import codeRow from "../../shaders/lib/code-row.wgsl?raw";
import fillRow8 from "../../shaders/lib/fill-row-8.wgsl?raw";
import fillRow16 from "../../shaders/lib/fill-row-16.wgsl?raw";
import turnChannels from "../../shaders/lib/turn-channels.wgsl?raw";
import shader from "../../shaders/ring-fill.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface RingFillArgs {
  readonly params: BufferView; // RingFill
  readonly source: BufferView; // (2, G, capacity, D/2) u32
  readonly rows: BufferView; // (2, ringPlane) u32
  readonly ringBits: 16 | 8;
}

export function bindRingFill(gpu: Gpu, geometry: CacheGeometry, args: RingFillArgs): { record(recorder: Recorder, rows: number): void } {
  const coded = args.ringBits === 8;
  const spec = {
    name: "ring-fill",
    code: [...(coded ? [turnChannels, codeRow, fillRow8] : [fillRow16]), shader],
    bindings: ["uniform", "read", "write"] as const,
    workgroup: 32,
    ...(coded && { literals: { TURNED: geometry.headSize } }),
  };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.params, args.source, args.rows]);
  return { record: (recorder, rows) => recorder.dispatch(kernel, group, rows, geometry.kvHeads) };
}

// attention-merge: partial outputs of cache-attention to the head's output, values' rotation and mean undone.

import shader from "../../shaders/attention-merge.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface AttentionMergeArgs {
  readonly info: BufferView;
  readonly step: BufferView; // Step
  readonly table: BufferView;
  readonly partials: BufferView; // (H, units, D + 2) f32
  readonly means: BufferView; // (G, 2, D/2) u32
  readonly output: BufferView; // (H * D) f32
  readonly units: BufferView; // uniform vec4u, x = units
}

export function bindAttentionMerge(gpu: Gpu, geometry: CacheGeometry, args: AttentionMergeArgs): { record(recorder: Recorder): void } {
  const spec = {
    name: "attention-merge",
    code: [stepLib, shader],
    bindings: ["uniform", "uniform", "read", "read", "read", "write", "uniform"] as const,
    workgroup: 32,
  };
  const buffers = [args.info, args.step, args.table, args.partials, args.means, args.output, args.units];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads * geometry.group) };
}

// head-signal: one dispatch of shaders/head-signal.wgsl, after a layer's attention.

import shader from "../../shaders/head-signal.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface HeadSignalArgs {
  readonly units: BufferView; // uniform vec4u, x = units
  readonly rotated: BufferView; // (H * D) f32
  readonly partials: BufferView; // (H, units, D + 2) f32
  readonly signal: BufferView; // (H * D + H) f32
}

/** Queries and log-sum-exp of one layer's heads, side by side for a readback. */
export function headSignal(gpu: Gpu, geometry: CacheGeometry, args: HeadSignalArgs): Op {
  const spec = { name: "head-signal", code: [shader], bindings: ["uniform", "read", "read", "write"] as const, workgroup: 32 };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.units, args.rotated, args.partials, args.signal]);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads * geometry.group) };
}

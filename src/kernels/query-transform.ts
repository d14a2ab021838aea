// query-transform: scales and rotates a token's queries for attention over coded slots.

import shader from "../../shaders/query-transform.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface QueryTransformArgs {
  readonly rotated: BufferView; // (H * D) f32, after RoPE
  readonly means: BufferView; // (G, 2, D/2) u32
  readonly queries: BufferView; // (H, 2 D + 4) f32
}

/** Floats of one transformed query: itself over sqrt(D), rotated, and two sums (padded to four). */
export function queryFloats(headSize: number): number {
  return 2 * headSize + 4;
}

export function bindQueryTransform(gpu: Gpu, geometry: CacheGeometry, args: QueryTransformArgs): { record(recorder: Recorder): void } {
  const spec = { name: "query-transform", code: [shader], bindings: ["read", "read", "write"] as const, workgroup: 32 };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.rotated, args.means, args.queries]);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads * geometry.group) };
}

// cache-attention: one query token over sinks, ring and pages; all query heads of a kv head at once, split over units of slots.

import shader from "../../shaders/cache-attention.wgsl?raw";
import attentionKeys from "../../shaders/lib/attention-keys.wgsl?raw";
import attentionRing from "../../shaders/lib/attention-ring.wgsl?raw";
import attentionUnits from "../../shaders/lib/attention-units.wgsl?raw";
import extraRows from "../../shaders/lib/extra-rows.wgsl?raw";
import kltAttention from "../../shaders/lib/klt-attention.wgsl?raw";
import ringRows from "../../shaders/lib/ring-rows.wgsl?raw";
import selectedUnits from "../../shaders/lib/selected-units.wgsl?raw";
import selectionLib from "../../shaders/lib/selection.wgsl?raw";
import sparseAttention from "../../shaders/lib/sparse-attention.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface CacheAttentionArgs {
  readonly info: BufferView;
  readonly step: BufferView; // Step
  readonly table: BufferView; // the layer's, with its means
  readonly rotated: BufferView; // (H, D) f32: queries after RoPE
  readonly ring: BufferView; // (2, ringPlane) u32
  readonly partials: BufferView; // (H, units, D + 2) f32
  /** The layer's calibrated bases (src/cache/bases.ts), where a format needs them. */
  readonly bases?: BufferView | undefined;
  readonly pool: readonly GPUBuffer[];
  /** What the layer reads of its pages (select-chunks); without it everything. Not together with bases. */
  readonly selection?: BufferView | undefined;
  /** Units per kv head, empty ones included; the same number goes to attention-merge. */
  readonly units: number;
}

export function bindCacheAttention(gpu: Gpu, geometry: CacheGeometry, args: CacheAttentionArgs): { record(recorder: Recorder): void } {
  const { selection } = args;
  const own = ["uniform", "uniform", "read", "read", "read", "write"] as const;
  const spec = {
    name: "cache-attention",
    code: [
      stepLib,
      extraRows,
      attentionRing,
      ringRows,
      ...(selection ? [selectionLib, selectedUnits] : [attentionUnits]),
      attentionKeys,
      shader,
      kltAttention,
      sparseAttention,
    ],
    bindings: [...own, ...(selection ? (["read"] as const) : [])],
    workgroup: 64,
    ...(selection && { literals: { SELECTION: own.length } }),
  };
  const buffers = [args.info, args.step, args.table, args.rotated, args.ring, args.partials, ...(selection ? [selection] : [])];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers, { bases: args.bases, pool: { access: "read", segments: args.pool } });
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads, args.units) };
}

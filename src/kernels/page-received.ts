// page-received: one dispatch of shaders/page-received.wgsl, after attention-merge.

import attentionKeys from "../../shaders/lib/attention-keys.wgsl?raw";
import attentionRing from "../../shaders/lib/attention-ring.wgsl?raw";
import attentionUnits from "../../shaders/lib/attention-units.wgsl?raw";
import kltAttention from "../../shaders/lib/klt-attention.wgsl?raw";
import sparseAttention from "../../shaders/lib/sparse-attention.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import shader from "../../shaders/page-received.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface PageReceivedArgs {
  readonly info: BufferView;
  readonly step: BufferView; // Step of the token being decoded
  readonly units: BufferView; // uniform vec4u, x = units
  readonly table: BufferView; // the layer's, with its means
  readonly rotated: BufferView; // (H * D) f32
  readonly partials: BufferView; // (H, units, D + 2) f32
  readonly received: BufferView; // (G, positions) f32: added to
  readonly bases?: BufferView | undefined;
  readonly pool: readonly GPUBuffer[];
  /** Units of pages per kv head, empty ones included. */
  readonly pageUnits: number;
}

/** Adds what the current token pays to every slot in pages, the mean over a group's heads, to the slot's position. */
export function pageReceived(gpu: Gpu, geometry: CacheGeometry, args: PageReceivedArgs): Op {
  const spec = {
    name: "page-received",
    code: [stepLib, attentionRing, attentionUnits, attentionKeys, kltAttention, sparseAttention, shader],
    bindings: ["uniform", "uniform", "uniform", "read", "read", "read", "write"] as const,
    workgroup: 64,
  };
  const buffers = [args.info, args.step, args.units, args.table, args.rotated, args.partials, args.received];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers, { bases: args.bases, pool: { access: "read", segments: args.pool } });
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads, args.pageUnits) };
}

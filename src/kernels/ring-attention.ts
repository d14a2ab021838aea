// ring-attention: one dispatch of shaders/ring-attention.wgsl, after attention-merge.

import ringRows from "../../shaders/lib/ring-rows.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import turnChannels from "../../shaders/lib/turn-channels.wgsl?raw";
import shader from "../../shaders/ring-attention.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface RingAttentionArgs {
  readonly info: BufferView;
  readonly step: BufferView; // Step of the token being decoded
  readonly units: BufferView; // uniform vec4u, x = units
  readonly begun: BufferView; // uniform vec4u: x = position of the first token decoded, y = 1 for the most of any query and head, z = tokens from one that is counted to the next
  readonly rotated: BufferView; // (H * D) f32
  readonly ring: BufferView; // (2, ringPlane) u32: keys first
  readonly partials: BufferView; // (H, units, D + 2) f32
  readonly received: BufferView; // (G, ringSlots) f32: mean, or most, over queries since a row's own
}

/** Takes what the current token pays to the ring's rows into their means, or maxima. A row's begins with its own token's query, or with the first token decoded, or with the next that is counted. */
export function ringAttention(gpu: Gpu, geometry: CacheGeometry, args: RingAttentionArgs): Op {
  const spec = {
    name: "ring-attention",
    code: [stepLib, ringRows, turnChannels, shader],
    bindings: ["uniform", "uniform", "uniform", "uniform", "read", "read", "read", "write"] as const,
    workgroup: 32,
    literals: { TURNED: geometry.group * geometry.headSize }, // queries of a kv head
  };
  const buffers = [args.info, args.step, args.units, args.begun, args.rotated, args.ring, args.partials, args.received];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads) };
}

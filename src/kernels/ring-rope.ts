// ring-rope: shaders/ring-rope.wgsl, a decoded token's queries, key and value after the projection to rotated queries and rows of a ring in 8 bits.

import codeRow from "../../shaders/lib/code-row.wgsl?raw";
import ringRows from "../../shaders/lib/ring-rows.wgsl?raw";
import ropePair from "../../shaders/lib/rope-pair.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import turnChannels from "../../shaders/lib/turn-channels.wgsl?raw";
import shader from "../../shaders/ring-rope.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { RopePairing } from "../model/model-config";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface RingRopeArgs {
  readonly info: BufferView;
  readonly step: BufferView; // Step
  readonly pairing: RopePairing;
  readonly qkv: BufferView; // ((H + 2G) D) f32, biased
  readonly table: BufferView; // (context, D / 2) vec2f cos, sin
  readonly queries: BufferView; // (H D) f32
  /** Row step.keyRow of every head is written. */
  readonly rows: BufferView; // (2, ringPlane) u32
}

export function bindRingRope(gpu: Gpu, geometry: CacheGeometry, args: RingRopeArgs): Op {
  const { headSize, kvHeads, group: queries } = geometry;
  const spec = {
    name: "ring-rope",
    code: [stepLib, ropePair, ringRows, turnChannels, codeRow, shader],
    bindings: ["uniform", "uniform", "read", "read", "write", "write"] as const,
    workgroup: 32,
    literals: { TURNED: headSize },
    constants: { HALF: args.pairing === "half" ? 1 : 0 },
  };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.info, args.step, args.qkv, args.table, args.queries, args.rows]);
  return { record: (recorder) => recorder.dispatch(kernel, group, kvHeads * (queries + 2)) };
}

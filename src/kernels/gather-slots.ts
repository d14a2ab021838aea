// gather-slots: lists what a compression judges, with importance and what the rule of rate and distortion needs.

import shader from "../../shaders/gather-slots.wgsl?raw";
import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import extraRows from "../../shaders/lib/extra-rows.wgsl?raw";
import incomingPosition from "../../shaders/lib/incoming-position.wgsl?raw";
import recentMass from "../../shaders/lib/recent-mass.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

const WORKGROUP = 64;

export interface GatherSlotsArgs {
  readonly info: BufferView; // CacheInfo
  readonly step: BufferView; // CompressStep
  readonly table: BufferView; // the layer's, with its means
  readonly lifted: BufferView; // (pages of the layer, pageWords) u32
  readonly source: BufferView; // (2, G, capacity, D/2) u32
  readonly importance: BufferView; // (G, stride) f32
  readonly queryEnergy: BufferView; // (G) f32
  readonly candidates: BufferView; // (G, numCandidates) vec4u
  readonly counts: BufferView; // (G) u32
  /** The layer's calibrated bases (src/cache/bases.ts), where a format needs them. */
  readonly bases?: BufferView | undefined;
}

/** @returns record(recorder, most): `most` is the largest number of candidates a head can have */
export function bindGatherSlots(gpu: Gpu, geometry: CacheGeometry, args: GatherSlotsArgs): { record(recorder: Recorder, most: number): void } {
  const spec = {
    name: "gather-slots",
    code: [compressStep, extraRows, incomingPosition, recentMass, shader],
    bindings: ["uniform", "uniform", "read", "read", "read", "read", "read", "write", "write"] as const,
    workgroup: WORKGROUP,
  };
  const buffers = [args.info, args.step, args.table, args.lifted, args.source, args.importance, args.queryEnergy, args.candidates, args.counts];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers, { bases: args.bases });
  return { record: (recorder, most) => recorder.dispatch(kernel, group, Math.max(1, Math.ceil(most / WORKGROUP)), geometry.kvHeads) };
}

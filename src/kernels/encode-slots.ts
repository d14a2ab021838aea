// encode-slots: writes kept candidates into their pages, as raw codes where the format stays, newly rounded where it changes.

import shader from "../../shaders/encode-slots.wgsl?raw";
import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

const WORKGROUP = 64;

export interface EncodeSlotsArgs {
  readonly info: BufferView;
  readonly step: BufferView; // CompressStep
  readonly table: BufferView;
  readonly lifted: BufferView;
  readonly source: BufferView;
  readonly means: BufferView;
  readonly candidates: BufferView; // with choices in them
  readonly pool: readonly GPUBuffer[];
}

export function bindEncodeSlots(gpu: Gpu, geometry: CacheGeometry, args: EncodeSlotsArgs): { record(recorder: Recorder, most: number): void } {
  const spec = {
    name: "encode-slots",
    code: [compressStep, shader],
    bindings: ["uniform", "uniform", "read", "read", "read", "read", "read"] as const,
    workgroup: WORKGROUP,
  };
  const buffers = [args.info, args.step, args.table, args.lifted, args.source, args.means, args.candidates];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers, { access: "write", segments: args.pool });
  return { record: (recorder, most) => recorder.dispatch(kernel, group, Math.max(1, Math.ceil(most / WORKGROUP)), geometry.kvHeads) };
}

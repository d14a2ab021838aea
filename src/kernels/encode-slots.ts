// encode-slots: writes kept candidates into their pages, as raw codes where the format stays, newly rounded where it changes.

import shader from "../../shaders/encode-slots.wgsl?raw";
import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import incomingPosition from "../../shaders/lib/incoming-position.wgsl?raw";
import kltEncode from "../../shaders/lib/klt-encode.wgsl?raw";
import sparseEncode from "../../shaders/lib/sparse-encode.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

const WORKGROUP = 64;

export interface EncodeSlotsArgs {
  readonly info: BufferView;
  readonly step: BufferView; // CompressStep
  readonly table: BufferView; // the layer's, with its means
  readonly lifted: BufferView;
  readonly source: BufferView;
  readonly candidates: BufferView; // with choices in them
  /** The layer's calibrated bases (src/cache/bases.ts), where a format needs them. */
  readonly bases?: BufferView | undefined;
  readonly pool: readonly GPUBuffer[];
}

export function bindEncodeSlots(gpu: Gpu, geometry: CacheGeometry, args: EncodeSlotsArgs): { record(recorder: Recorder, most: number): void } {
  const spec = {
    name: "encode-slots",
    code: [compressStep, incomingPosition, shader, kltEncode, sparseEncode],
    bindings: ["uniform", "uniform", "read", "read", "read", "read"] as const,
    workgroup: WORKGROUP,
  };
  const buffers = [args.info, args.step, args.table, args.lifted, args.source, args.candidates];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers, { bases: args.bases, pool: { access: "write", segments: args.pool } });
  return { record: (recorder, most) => recorder.dispatch(kernel, group, Math.max(1, Math.ceil(most / WORKGROUP)), geometry.kvHeads) };
}

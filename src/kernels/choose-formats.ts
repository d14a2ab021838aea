// choose-formats: every candidate's format under the page budget, its rank in its list, and the lists' pages.

import shader from "../../shaders/choose-formats.wgsl?raw";
import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import extraRows from "../../shaders/lib/extra-rows.wgsl?raw";
import fillPlaces from "../../shaders/lib/fill-places.wgsl?raw";
import takePages from "../../shaders/lib/take-pages.wgsl?raw";
import wakeGuests from "../../shaders/lib/wake-guests.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface ChooseFormatsArgs {
  readonly info: BufferView;
  readonly step: BufferView; // CompressStep
  readonly candidates: BufferView; // (G, numCandidates) vec4u, the choice is written into them
  readonly counts: BufferView; // (G) u32
  readonly table: BufferView;
  readonly free: BufferView; // head, tail, capacity, error, then page ids
}

export function bindChooseFormats(gpu: Gpu, geometry: CacheGeometry, args: ChooseFormatsArgs): { record(recorder: Recorder): void } {
  const spec = {
    name: "choose-formats",
    code: [compressStep, extraRows, takePages, wakeGuests, fillPlaces, shader],
    bindings: ["uniform", "uniform", "write", "read", "write", "write"] as const,
    workgroup: gpu.software ? 64 : 256,
  };
  const buffers = [args.info, args.step, args.candidates, args.counts, args.table, args.free];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers);
  return { record: (recorder) => recorder.dispatch(kernel, group, 1) };
}

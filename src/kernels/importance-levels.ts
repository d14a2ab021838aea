// importance-levels: one dispatch of shaders/importance-levels.wgsl.

import shader from "../../shaders/importance-levels.wgsl?raw";
import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

/** Levels of importance that are told apart: half of those stored. */
export const LEVELS = 2048;

export interface ImportanceLevelsArgs {
  readonly info: BufferView;
  readonly step: BufferView; // CompressStep
  readonly importance: BufferView; // (G, importanceStride) f32
  readonly levels: BufferView; // (G, LEVELS) u32 of the layer
}

/** Counts a layer's candidates by the importance that they have at least. */
export function bindImportanceLevels(gpu: Gpu, geometry: CacheGeometry, args: ImportanceLevelsArgs): Op {
  const spec = { name: "importance-levels", code: [compressStep, shader], bindings: ["uniform", "uniform", "read", "write"] as const, workgroup: 64 };
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, [args.info, args.step, args.importance, args.levels]);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads) };
}

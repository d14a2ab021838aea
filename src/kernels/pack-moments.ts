// pack-moments: one dispatch of shaders/pack-moments.wgsl.

import halfLib from "../../shaders/lib/half.wgsl?raw";
import code from "../../shaders/pack-moments.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { keptLayout, type ScoringDims } from "./scoring";

export interface PackMomentsArgs {
  readonly moments: BufferView; // (G, 7 D/2 + 4) f32
  readonly kept: BufferView; // (G, 7 D/4 + 4) u32: planes in f16, scalars in f32
}

/** A layer's records of moments as a cache keeps them. */
export function packMoments(gpu: Gpu, dims: ScoringDims, args: PackMomentsArgs): Op {
  const kernel = gpu.kernels.get({ name: "pack-moments", code: [halfLib, code], bindings: ["read", "write"], constants: { D: dims.headSize } });
  const group = kernel.bind([args.moments, args.kept]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(keptLayout(dims).words / 64), dims.kvHeads) };
}

// slot-norms: one dispatch of shaders/slot-norms.wgsl.

import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import code from "../../shaders/slot-norms.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";

export interface SlotNormsArgs {
  readonly params: GPUBuffer;
  readonly keys: BufferView; // (G, capacity, D)
  readonly values: BufferView; // (G, capacity, D)
  readonly norms: BufferView; // (G, tokens) vec2f
  readonly tokens: number;
  readonly storage: KeyStorage;
}

/** Key and value norms of a prompt. */
export function slotNorms(gpu: Gpu, dims: ScoringDims, args: SlotNormsArgs): Op {
  const { kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "slot-norms",
    code: [keyLibrary(args.storage), scoreParams, code],
    bindings: ["uniform", "read", "read", "write"],
    constants: { D: headSize },
  });
  const group = kernel.bind([args.params, args.keys, args.values, args.norms]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(args.tokens / 64), kvHeads) };
}

// window-normalizers: one dispatch of shaders/window-normalizers.wgsl.

import fourSlots from "../../shaders/lib/four-slots.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import windowLogits from "../../shaders/lib/window-logits.wgsl?raw";
import code from "../../shaders/window-normalizers.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { type KeyStorage, keyLibrary, type ScoringDims, WINDOW } from "./scoring";

export interface WindowNormalizersArgs {
  readonly params: GPUBuffer;
  readonly queries: BufferView; // (32, H, D) f32, after RoPE
  readonly keys: BufferView; // (G, capacity, D)
  readonly normalizers: BufferView; // (G, 32 H/G) f32
  readonly tokens: number;
  readonly storage: KeyStorage;
}

/** Log of the softmax denominator of the window's queries. */
export function windowNormalizers(gpu: Gpu, dims: ScoringDims, args: WindowNormalizersArgs): Op {
  const { heads, kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "window-normalizers",
    code: [keyLibrary(args.storage), scoreParams, fourSlots, windowLogits, code],
    bindings: ["uniform", "read", "read", "write"],
    constants: { H: heads, G: kvHeads, D: headSize },
  });
  const group = kernel.bind([args.params, args.queries, args.keys, args.normalizers]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil((Math.min(WINDOW, args.tokens) * heads) / kvHeads / 8), kvHeads) };
}

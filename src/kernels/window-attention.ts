// window-attention: one dispatch of shaders/window-attention.wgsl.

import fourSlots from "../../shaders/lib/four-slots.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import windowLogits from "../../shaders/lib/window-logits.wgsl?raw";
import code from "../../shaders/window-attention.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { BLOCK, type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";

export interface WindowAttentionArgs {
  readonly params: GPUBuffer;
  readonly queries: BufferView; // (32, H, D) f32, after RoPE
  readonly keys: BufferView; // (G, capacity, D)
  readonly normalizers: BufferView; // (G, 32 H/G) f32
  readonly received: BufferView; // (G, tokens) f32
  readonly tokens: number;
  readonly storage: KeyStorage;
}

/** Mean attention of the window's queries to every slot. */
export function windowAttention(gpu: Gpu, dims: ScoringDims, args: WindowAttentionArgs): Op {
  const { heads, kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "window-attention",
    code: [keyLibrary(args.storage), scoreParams, fourSlots, windowLogits, code],
    bindings: ["uniform", "read", "read", "read", "write"],
    constants: { H: heads, G: kvHeads, D: headSize },
  });
  const group = kernel.bind([args.params, args.queries, args.keys, args.normalizers, args.received]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(args.tokens / BLOCK), kvHeads) };
}

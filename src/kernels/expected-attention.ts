// expected-attention: one dispatch of shaders/expected-attention.wgsl.

import code from "../../shaders/expected-attention.wgsl?raw";
import fourSlots from "../../shaders/lib/four-slots.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { BLOCK, type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";

export interface ExpectedAttentionArgs {
  readonly params: GPUBuffer;
  readonly keys: BufferView; // (G, capacity, D)
  readonly mean: BufferView; // (H, D) f32
  readonly triangle: BufferView; // (H, D, D) f32
  readonly logits: BufferView; // (H, tokens) f32
  readonly tokens: number;
  readonly storage: KeyStorage;
}

/** Log of every key's expected score, per query head. */
export function expectedAttention(gpu: Gpu, dims: ScoringDims, args: ExpectedAttentionArgs): Op {
  const { heads, kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "expected-attention",
    code: [keyLibrary(args.storage), scoreParams, fourSlots, code],
    bindings: ["uniform", "read", "read", "read", "write"],
    constants: { H: heads, G: kvHeads, D: headSize },
  });
  const group = kernel.bind([args.params, args.keys, args.mean, args.triangle, args.logits]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(args.tokens / BLOCK), heads) };
}

// received-attention: one dispatch of shaders/received-attention.wgsl a chunk.

import chunkLogits from "../../shaders/lib/chunk-logits.wgsl?raw";
import fourSlots from "../../shaders/lib/four-slots.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/received-attention.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { BLOCK, type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";

export interface ReceivedAttentionArgs {
  readonly step: GPUBuffer;
  readonly range: GPUBuffer; // createQueryRange()
  readonly queries: BufferView; // (chunk, H, D) f32, after RoPE
  readonly keys: BufferView; // (G, capacity, D)
  readonly normalizers: BufferView; // (G, chunk H/G) f32
  readonly received: BufferView; // (G, tokens) f32; zeros before the first chunk
  readonly storage: KeyStorage;
}

/** Attention of the chunk's queries to the prompt's slots; `slots` says how many of those any query sees. */
export function receivedAttention(gpu: Gpu, dims: ScoringDims, args: ReceivedAttentionArgs): { record(recorder: Recorder, slots: number): void } {
  const { heads, kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "received-attention",
    code: [keyLibrary(args.storage), stepLib, fourSlots, chunkLogits, code],
    bindings: ["uniform", "uniform", "read", "read", "read", "write"],
    constants: { H: heads, G: kvHeads, D: headSize },
  });
  const group = kernel.bind([args.step, args.range, args.queries, args.keys, args.normalizers, args.received]);
  return { record: (recorder, slots) => recorder.dispatch(kernel, group, Math.ceil(slots / BLOCK), kvHeads) };
}

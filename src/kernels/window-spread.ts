// window-spread: one dispatch of shaders/window-spread.wgsl a chunk.

import chunkLogits from "../../shaders/lib/chunk-logits.wgsl?raw";
import fourSlots from "../../shaders/lib/four-slots.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/window-spread.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import type { ReceivedAttentionArgs } from "./received-attention";
import { BLOCK, keyLibrary, type ScoringDims } from "./scoring";

export interface WindowSpreadArgs extends Omit<ReceivedAttentionArgs, "received"> {
  readonly spread: BufferView; // (H, tokens) vec4f; zeros before the first chunk
}

/** Of slots before the window all its queries count; of its own, those of the chunks that could see them. Sums over the window's queries of p, p^2 and -p log p by query head and slot, and the queries; `slots` says how many of those any query sees. */
export function windowSpread(gpu: Gpu, dims: ScoringDims, args: WindowSpreadArgs): { record(recorder: Recorder, slots: number): void } {
  const { heads, kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "window-spread",
    code: [keyLibrary(args.storage), stepLib, fourSlots, chunkLogits, code],
    bindings: ["uniform", "uniform", "read", "read", "read", "write"],
    constants: { H: heads, G: kvHeads, D: headSize },
  });
  const group = kernel.bind([args.step, args.range, args.queries, args.keys, args.normalizers, args.spread]);
  return { record: (recorder, slots) => recorder.dispatch(kernel, group, Math.ceil(slots / BLOCK), kvHeads) };
}

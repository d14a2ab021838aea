// query-normalizers: one dispatch of shaders/query-normalizers.wgsl a chunk.

import chunkLogits from "../../shaders/lib/chunk-logits.wgsl?raw";
import fourSlots from "../../shaders/lib/four-slots.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/query-normalizers.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";

export interface QueryNormalizersArgs {
  readonly step: GPUBuffer; // rows 0..tokens - 1 of `queries` have positions firstPosition...; keys 0..context - 1 are there
  readonly range: GPUBuffer; // createQueryRange()
  readonly queries: BufferView; // (chunk, H, D) f32, after RoPE
  readonly keys: BufferView; // (G, capacity, D)
  readonly normalizers: BufferView; // (G, chunk H/G) f32
  readonly storage: KeyStorage;
}

/** Log of the softmax denominator of the chunk's queries; `queries` says how many of them are in range, at least one. */
export function queryNormalizers(gpu: Gpu, dims: ScoringDims, args: QueryNormalizersArgs): { record(recorder: Recorder, queries: number): void } {
  const { heads, kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "query-normalizers",
    code: [keyLibrary(args.storage), stepLib, fourSlots, chunkLogits, code],
    bindings: ["uniform", "uniform", "read", "read", "write"],
    constants: { H: heads, G: kvHeads, D: headSize },
  });
  const group = kernel.bind([args.step, args.range, args.queries, args.keys, args.normalizers]);
  return { record: (recorder, queries) => recorder.dispatch(kernel, group, Math.ceil((queries * heads) / kvHeads / 8), kvHeads) };
}

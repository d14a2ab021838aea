// prefill-attention: shaders/prefill-attention.wgsl over the tokens of a chunk.

import stepLib from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/prefill-attention.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import type { ModelConfig } from "../model/model-config";

export interface PrefillAttentionArgs {
  readonly config: Pick<ModelConfig, "heads" | "kvHeads" | "headSize">;
  readonly step: GPUBuffer; // Step: the chunk's tokens are the last of step.context rows
  readonly rotated: GPUBuffer; // (tokens, H D) f32
  readonly keys: BufferView; // (G, capacity, D/2) f16 pairs and nothing else
  readonly values: BufferView;
  readonly output: GPUBuffer; // (tokens, H D) f32
}

/** Softmax(q k / sqrt(D)) v over rows up to the query's own, running softmax as in FlashAttention (Dao et al. 2022). */
export function bindPrefillAttention(gpu: Gpu, { config, step, rotated, keys, values, output }: PrefillAttentionArgs): { record(recorder: Recorder, tokens: number): void } {
  const { heads, kvHeads, headSize } = config;
  const workgroup = gpu.software ? 32 : 64;
  const kernel = gpu.kernels.get({
    name: "prefill-attention",
    code: [stepLib, code],
    bindings: ["uniform", "read", "read", "read", "write"],
    literals: { D: headSize, G: kvHeads, GROUP: heads / kvHeads, WG: workgroup },
  });
  const group = kernel.bind([step, rotated, keys, values, output]);
  return { record: (recorder, tokens) => recorder.dispatch(kernel, group, Math.ceil(tokens / workgroup), heads) };
}

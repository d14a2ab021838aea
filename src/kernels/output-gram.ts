// output-gram: one dispatch of shaders/output-gram.wgsl a shard of a layer's output projection.

import code from "../../shaders/output-gram.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { Weight } from "../model/weights";
import type { ScoringDims } from "./scoring";
import { weightCode } from "./weight-code";

export interface OutputGramArgs {
  readonly output: Weight; // (hidden, H D)
  readonly gram: BufferView; // (G, D, D) f32; zeros before
  readonly owner: string;
}

/** W_o^T W_o of a layer, summed over every kv head's group: |W_o v| of CriticalKV without a projection at run time. Head sizes in steps of 32. */
export function outputGram(gpu: Gpu, { heads, kvHeads, headSize }: Pick<ScoringDims, "heads" | "kvHeads" | "headSize">, args: OutputGramArgs): Op {
  const { output, gram, owner } = args;
  const ops = output.shards.map(({ rows, paddedRows, buffer }) => {
    const kernel = gpu.kernels.get({
      name: "output-gram",
      code: [...weightCode(output.kind), code],
      bindings: ["uniform", "read", "write"],
      constants: { D: headSize, GROUP: heads / kvHeads, STRIDE: paddedRows },
    });
    const shape = gpu.createBuffer(`${owner}.gramShape`, 16, "scratch", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, owner });
    gpu.write(shape, 0, new Uint32Array([rows, 16]));
    return { kernel, group: kernel.bind([shape, buffer, gram]) };
  });
  return {
    record(recorder) {
      for (const { kernel, group } of ops) recorder.dispatch(kernel, group, headSize / 32, headSize / 32, kvHeads);
    },
  };
}

// embed: shaders/embed.wgsl, token ids to rows of the hidden states. One dispatch per shard of the embedding.

import code from "../../shaders/embed.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import type { Weight } from "../model/weights";
import { weightCode } from "./weight-code";

/** Which id token t of the step has: ids[step.firstRow + t], ids[t], or ids[step.index - 1] (what sample wrote last). */
export type IdSource = "prompt" | "chunk" | "previous";

export interface EmbedArgs {
  readonly step: GPUBuffer; // Step
  readonly embedding: Weight; // (V, C)
  readonly ids: BufferView; // u32
  readonly idsFrom: IdSource;
  readonly hidden: BufferView; // (T, C) f32, written from row step.firstRow
}

const ID_FROM: Readonly<Record<IdSource, number>> = { prompt: 0, chunk: 1, previous: 2 };

export function bindEmbed(gpu: Gpu, args: EmbedArgs): { record(recorder: Recorder, tokens: number): void } {
  const { embedding } = args;
  const units = embedding.cols / 32;
  const WG = 32;
  const dispatches = embedding.shards.map((shard) => {
    const kernel = gpu.kernels.get({
      name: "embed",
      code: [stepLib, ...weightCode(embedding.kind), code],
      bindings: ["uniform", "read", "read", "write"],
      constants: { WG, UNITS: units, STRIDE: shard.paddedRows, FIRST_ROW: shard.firstRow, ROWS: shard.rows, ID_FROM: ID_FROM[args.idsFrom] },
    });
    return { kernel, group: kernel.bind([args.step, shard.buffer, args.ids, args.hidden]) };
  });
  return {
    record(recorder, tokens) {
      for (const { kernel, group } of dispatches) recorder.dispatch(kernel, group, Math.ceil(units / WG), tokens);
    },
  };
}

// layer-average: one dispatch of shaders/layer-average.wgsl.

import code from "../../shaders/layer-average.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { ScoringDims } from "./scoring";

export interface LayerAverageArgs {
  readonly params: GPUBuffer;
  readonly layer: GPUBuffer; // uniform (layer, ...)
  readonly received: BufferView; // (G, tokens) f32
  readonly average: BufferView; // (tokens) f32; of several layers, it must be left alone between them
  readonly tokens: number;
  /** Over the layers so far, not of the layer alone. */
  readonly overLayers: boolean;
}

/** Mean of received attention over a layer's kv heads, and over layers. */
export function layerAverage(gpu: Gpu, { kvHeads }: Pick<ScoringDims, "kvHeads">, args: LayerAverageArgs): Op {
  const kernel = gpu.kernels.get({
    name: "layer-average",
    code: [scoreParams, code],
    bindings: ["uniform", "uniform", "read", "write"],
    constants: { G: kvHeads, LAYERS: args.overLayers ? 1 : 0 },
  });
  const group = kernel.bind([args.params, args.layer, args.received, args.average]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(args.tokens / 64)) };
}

// layer-preference: one dispatch of shaders/layer-preference.wgsl.

import code from "../../shaders/layer-preference.wgsl?raw";
import lanes from "../../shaders/lib/lanes.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { ScoringDims } from "./scoring";

export interface LayerPreferenceArgs {
  readonly params: GPUBuffer;
  readonly spread: BufferView; // (H, tokens) vec4f, of window-spread
  readonly preference: BufferView; // (1) f32
  readonly window: number;
  /** CAKE's tau1 and tau2. */
  readonly temperatures: readonly [number, number];
}

/** A layer's preference: entropy^(1/tau1) variance^(1/tau2) of what a window pays to the slots before it (CAKE, Qin et al. 2025). */
export function layerPreference(gpu: Gpu, { heads }: Pick<ScoringDims, "heads">, args: LayerPreferenceArgs): Op {
  const [TAU1, TAU2] = args.temperatures;
  const kernel = gpu.kernels.get({
    name: "layer-preference",
    code: [scoreParams, lanes, code],
    bindings: ["uniform", "read", "write"],
    constants: { H: heads, WINDOW: args.window, TAU1, TAU2 },
  });
  const group = kernel.bind([args.params, args.spread, args.preference]);
  return { record: (recorder) => recorder.dispatch(kernel, group, 1) };
}

// mean-key: one dispatch of shaders/mean-key.wgsl.

import momentsRecord from "../../shaders/lib/moments-record.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import code from "../../shaders/mean-key.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { halfPairing, type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";

export interface MeanKeyArgs {
  readonly params: GPUBuffer;
  readonly keys: BufferView; // (G, capacity, D)
  readonly norms: BufferView; // (G, tokens) vec2f
  readonly moments: BufferView; // (G, 7 D/2 + 4) f32
  readonly storage: KeyStorage;
}

/** Mean unit key per kv head, into its record of moments. */
export function meanKey(gpu: Gpu, dims: ScoringDims, args: MeanKeyArgs): Op {
  const { kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "mean-key",
    code: [keyLibrary(args.storage), scoreParams, momentsRecord, code],
    bindings: ["uniform", "read", "read", "write"],
    constants: { D: headSize, HALF: halfPairing(dims) },
  });
  const group = kernel.bind([args.params, args.keys, args.norms, args.moments]);
  return { record: (recorder) => recorder.dispatch(kernel, group, headSize / 4, kvHeads) };
}

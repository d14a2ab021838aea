// redundancy: one dispatch of shaders/redundancy.wgsl.

import lanes from "../../shaders/lib/lanes.wgsl?raw";
import momentsRecord from "../../shaders/lib/moments-record.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import code from "../../shaders/redundancy.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { halfPairing, type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";

export interface RedundancyArgs {
  readonly params: GPUBuffer;
  readonly keys: BufferView; // (G, capacity, D)
  readonly norms: BufferView; // (G, tokens) vec2f
  readonly credits: BufferView; // (G, tokens) u32, of latest-alike
  readonly received: BufferView; // (G, tokens) f32, on any scale
  readonly moments: BufferView; // (G, 7 D/2 + 4) f32 with the mean unit key
  readonly importance: BufferView; // (G, tokens) f32
  readonly lambda: number;
  readonly window: number;
  /** Width of the max pool, odd. */
  readonly pool: number;
  readonly storage: KeyStorage;
}

/** R-KV's score of a prompt's slots. */
export function redundancy(gpu: Gpu, dims: ScoringDims, args: RedundancyArgs): Op {
  const kernel = gpu.kernels.get({
    name: "redundancy",
    code: [keyLibrary(args.storage), scoreParams, momentsRecord, lanes, code],
    bindings: ["uniform", "read", "read", "read", "read", "write", "write"],
    constants: { D: dims.headSize, HALF: halfPairing(dims), LAMBDA: args.lambda, WINDOW: args.window, REACH: (args.pool - 1) / 2 },
  });
  const group = kernel.bind([args.params, args.keys, args.norms, args.credits, args.received, args.moments, args.importance]);
  return { record: (recorder) => recorder.dispatch(kernel, group, dims.kvHeads) };
}

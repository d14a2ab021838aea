// latest-alike: one dispatch of shaders/latest-alike.wgsl.

import code from "../../shaders/latest-alike.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";

export interface LatestAlikeArgs {
  readonly params: GPUBuffer;
  readonly keys: BufferView; // (G, capacity, D)
  readonly norms: BufferView; // (G, tokens) vec2f
  /** (G, tokens) u32, zeros before: sums of cosines in 1/65536, so at most 65,535 tokens. */
  readonly credits: BufferView;
  readonly tokens: number;
  readonly storage: KeyStorage;
}

/** Adds every key's cosine with the latest other key alike (above .5) to that key's credit. */
export function latestAlike(gpu: Gpu, dims: ScoringDims, args: LatestAlikeArgs): Op {
  const kernel = gpu.kernels.get({
    name: "latest-alike",
    code: [keyLibrary(args.storage), scoreParams, code],
    bindings: ["uniform", "read", "read", "write"],
    constants: { D: dims.headSize },
  });
  const group = kernel.bind([args.params, args.keys, args.norms, args.credits]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(args.tokens / 64), dims.kvHeads) };
}

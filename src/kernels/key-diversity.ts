// key-diversity: one dispatch of shaders/key-diversity.wgsl.

import code from "../../shaders/key-diversity.wgsl?raw";
import fourPairs from "../../shaders/lib/four-pairs.wgsl?raw";
import keyTerms from "../../shaders/lib/key-terms.wgsl?raw";
import momentsRecord from "../../shaders/lib/moments-record.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { halfPairing, type KeyStorage, keyLibrary, momentsLibrary, type ScoringDims } from "./scoring";

export interface KeyDiversityArgs {
  readonly params: GPUBuffer;
  readonly keys: BufferView; // (G, capacity, D)
  readonly moments: BufferView; // (G, 7 D/2 + 4) f32
  readonly rotation: BufferView; // (D/2) vec2f
  readonly terms: BufferView; // (G, tokens) vec2f
  readonly tokens: number;
  readonly storage: KeyStorage;
}

/** Diversity and condensed log-score of a prompt's slots. */
export function keyDiversity(gpu: Gpu, dims: ScoringDims, args: KeyDiversityArgs): Op {
  const { kvHeads, headSize } = dims;
  const kernel = gpu.kernels.get({
    name: "key-diversity",
    code: [keyLibrary(args.storage), scoreParams, momentsRecord, momentsLibrary(false, dims).code, fourPairs, keyTerms, code],
    bindings: ["uniform", "read", "read", "read", "write"],
    constants: { D: headSize, HALF: halfPairing(dims) },
  });
  const group = kernel.bind([args.params, args.keys, args.moments, args.rotation, args.terms]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(args.tokens / 64), kvHeads) };
}

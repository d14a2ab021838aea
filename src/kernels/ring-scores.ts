// ring-scores: one dispatch of shaders/ring-scores.wgsl.

import fourPairs from "../../shaders/lib/four-pairs.wgsl?raw";
import keyTerms from "../../shaders/lib/key-terms.wgsl?raw";
import momentsRecord from "../../shaders/lib/moments-record.wgsl?raw";
import step from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/ring-scores.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { halfPairing, type KeyStorage, keyLibrary, momentsLibrary, type ScoringDims } from "./scoring";

export interface RingScoresArgs {
  readonly step: GPUBuffer;
  readonly keys: BufferView; // (G, slots, D)
  readonly values: BufferView; // (G, slots, D)
  readonly moments: BufferView; // of the layer, see keptLayout
  readonly rotation: BufferView; // (D/2) vec2f
  readonly importance: BufferView; // (G, slots) f32
  readonly slots: number;
  readonly ensemble: boolean;
  readonly valueNorm: boolean;
  readonly epsilon: number;
  readonly storage: KeyStorage;
}

/** Importance of the ring's tokens on the prompt's scale. */
export function ringScores(gpu: Gpu, dims: ScoringDims, args: RingScoresArgs): Op {
  const { kvHeads, headSize } = dims;
  const moments = momentsLibrary(true, dims);
  const kernel = gpu.kernels.get({
    name: "ring-scores",
    code: [keyLibrary(args.storage), step, momentsRecord, moments.code, fourPairs, keyTerms, code],
    bindings: ["uniform", "read", "read", "read", "read", "write"],
    constants: {
      D: headSize,
      HALF: halfPairing(dims),
      SLOTS: args.slots,
      ENSEMBLE: args.ensemble ? 1 : 0,
      VALUE_NORM: args.valueNorm ? 1 : 0,
      EPSILON: args.epsilon,
      ...moments.constants,
    },
  });
  const group = kernel.bind([args.step, args.keys, args.values, args.moments, args.rotation, args.importance]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(args.slots / 64), kvHeads) };
}

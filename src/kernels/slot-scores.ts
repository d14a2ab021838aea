// slot-scores: one dispatch of shaders/slot-scores.wgsl.

import fourPairs from "../../shaders/lib/four-pairs.wgsl?raw";
import momentsRecord from "../../shaders/lib/moments-record.wgsl?raw";
import pcg from "../../shaders/lib/pcg.wgsl?raw";
import code from "../../shaders/slot-scores.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { halfPairing, type KeyStorage, keyLibrary, momentsLibrary, type ScoringDims } from "./scoring";
import { type SlotRange, slotRangeParts } from "./slot-range";

/** In the order of the shader's METHOD. */
const METHODS = ["position", "random", "key-norm", "value-norm", "key-difference", "direction"] as const;

export interface SlotScoresArgs {
  readonly range: SlotRange;
  readonly method: (typeof METHODS)[number];
  readonly keys: BufferView; // (G, rows, D)
  readonly values: BufferView; // (G, rows, D)
  /** key-difference: moments, of a prompt (G, 7 D/2 + 4) f32, beside the ring as keptLayout; direction: (G, D) f32 of each layer, or of one; else any buffer. */
  readonly anchors: BufferView;
  /** Uniform of (layer, heads before this layer's in `anchors`, 0, 0). */
  readonly layer: BufferView;
  readonly importance: BufferView; // (G, slots) f32
  readonly seed?: number;
  readonly storage: KeyStorage;
}

/** Scores of slots by position, norm or direction: 2^(32 p / (p + 8192) - 28), a hash, 1/|k|, |v|, 1 - cosine, 2^(15 x / (|x| + 8) - 12). */
export function slotScores(gpu: Gpu, dims: ScoringDims, args: SlotScoresArgs): Op {
  const { kvHeads, headSize } = dims;
  const range = slotRangeParts(args.range);
  const moments = momentsLibrary(args.method === "key-difference" && !("params" in args.range), dims);
  const kernel = gpu.kernels.get({
    name: "slot-scores",
    code: [keyLibrary(args.storage), ...range.code, momentsRecord, moments.code, fourPairs, pcg, code],
    bindings: ["uniform", "read", "read", "read", "uniform", "write"],
    constants: { D: headSize, HALF: halfPairing(dims), METHOD: METHODS.indexOf(args.method), SEED: args.seed ?? 0, ...range.constants, ...moments.constants },
  });
  const group = kernel.bind([range.uniform, args.keys, args.values, args.anchors, args.layer, args.importance]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(range.slots / 64), kvHeads) };
}

// ring-redundancy: one dispatch of shaders/ring-redundancy.wgsl.

import fourPairs from "../../shaders/lib/four-pairs.wgsl?raw";
import momentsRecord from "../../shaders/lib/moments-record.wgsl?raw";
import code from "../../shaders/ring-redundancy.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { halfPairing, type KeyStorage, keyLibrary, momentsLibrary, type ScoringDims } from "./scoring";
import { type SlotRange, slotRangeParts } from "./slot-range";

export interface RingRedundancyArgs {
  readonly range: SlotRange;
  readonly keys: BufferView; // (G, slots, D)
  readonly moments: BufferView; // of the layer, as redundancy left them; see keptLayout
  readonly received: BufferView | undefined; // (G, slots) f32
  readonly importance: BufferView; // (G, slots) f32
  readonly lambda: number;
  readonly storage: KeyStorage;
}

/** R-KV's score of the ring's tokens, on the prompt's scale. */
export function ringRedundancy(gpu: Gpu, dims: ScoringDims, args: RingRedundancyArgs): Op {
  const range = slotRangeParts(args.range);
  const moments = momentsLibrary(true, dims);
  const kernel = gpu.kernels.get({
    name: "ring-redundancy",
    code: [keyLibrary(args.storage), ...range.code, momentsRecord, moments.code, fourPairs, code],
    bindings: ["uniform", "read", "read", "read", "write"],
    constants: { D: dims.headSize, HALF: halfPairing(dims), LAMBDA: args.lambda, RECEIVED: args.received ? 1 : 0, ...range.constants, ...moments.constants },
  });
  const group = kernel.bind([range.uniform, args.keys, args.moments, args.received ?? args.moments, args.importance]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(range.slots / 64), dims.kvHeads) };
}

// lag-scores: one dispatch of shaders/lag-scores.wgsl.

import code from "../../shaders/lag-scores.wgsl?raw";
import lanes from "../../shaders/lib/lanes.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";
import { type SlotRange, slotRangeParts } from "./slot-range";

export interface LagScoresArgs {
  readonly range: SlotRange;
  readonly sinks: number;
  /** Tokens of a partition; in the ring the older half is one. */
  readonly lag: number;
  readonly keys: BufferView; // (G, rows, D)
  readonly values: BufferView; // (G, rows, D)
  readonly importance: BufferView; // (G, slots) f32
  readonly storage: KeyStorage;
}

/** LagKV's scores: rank within a partition, ties and neighbours apart by the score itself. */
export function lagScores(gpu: Gpu, dims: ScoringDims, args: LagScoresArgs): Op {
  const { kvHeads, headSize } = dims;
  const range = slotRangeParts(args.range);
  const inRing = "step" in args.range;
  const kernel = gpu.kernels.get({
    name: "lag-scores",
    code: [keyLibrary(args.storage), ...range.code, lanes, code],
    bindings: ["uniform", "read", "read", "write"],
    constants: { D: headSize, LAG: args.lag, MOST: inRing ? range.slots - args.sinks : args.lag, ...range.constants },
  });
  const group = kernel.bind([range.uniform, args.keys, args.values, args.importance]);
  const parts = inRing ? 1 : Math.max(1, Math.floor((range.slots - args.sinks) / args.lag));
  return { record: (recorder) => recorder.dispatch(kernel, group, parts, kvHeads) };
}

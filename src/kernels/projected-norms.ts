// projected-norms: one dispatch of shaders/projected-norms.wgsl.

import code from "../../shaders/projected-norms.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";
import { type SlotRange, slotRangeParts } from "./slot-range";

export interface ProjectedNormsArgs {
  readonly range: SlotRange;
  readonly layer: BufferView; // uniform (layer, ...)
  readonly values: BufferView; // (G, rows, D), exactly
  readonly grams: BufferView; // (L, G, D, D) f32: output-gram's
  readonly norms: BufferView; // (G, slots) f32
  readonly storage: KeyStorage;
}

/** L2 norms of what the output projection makes of a prompt's or the ring's values, over the heads of a group. */
export function projectedNorms(gpu: Gpu, { kvHeads, headSize }: Pick<ScoringDims, "kvHeads" | "headSize">, args: ProjectedNormsArgs): Op {
  const range = slotRangeParts(args.range);
  const kernel = gpu.kernels.get({
    name: "projected-norms",
    code: [keyLibrary(args.storage), ...range.code, code],
    bindings: ["uniform", "uniform", "read", "read", "write"],
    constants: { G: kvHeads, ...range.constants },
    literals: { D: headSize },
  });
  const group = kernel.bind([range.uniform, args.layer, args.values, args.grams, args.norms]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(range.slots / 64), kvHeads) };
}

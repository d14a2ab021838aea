// ring-received: one dispatch of shaders/ring-received.wgsl.

import code from "../../shaders/ring-received.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { type KeyStorage, keyLibrary, type ScoringDims } from "./scoring";
import { slotRangeParts } from "./slot-range";

export interface RingReceivedArgs {
  /** The ring's: firstPosition of the next token, context = tokens in the ring. */
  readonly range: { readonly step: GPUBuffer; readonly slots: number; readonly sinks: number };
  readonly received: BufferView; // (G, slots) f32: mean per query since a row's own
  readonly values: BufferView; // (G, slots, D)
  readonly importance: BufferView; // (G, slots) f32
  /** Mean over the layer's kv heads. */
  readonly shared?: boolean;
  /** What all queries so far paid, over their number. */
  readonly summed?: boolean;
  /** Times so much, where the prompt's scores are; default 1. */
  readonly part?: number;
  /** Divide by P(d) = (1 + d)^-distance, d positions before the next token (AGACC 2.3). Default 0, none. */
  readonly distance?: number;
  /** Multiply by |v|, or by one f32 a row; epsilon is added before. */
  readonly norms?: "values" | BufferView;
  readonly epsilon?: number;
  readonly storage: KeyStorage;
}

/** Importance of the ring's tokens from the attention they received. */
export function ringReceived(gpu: Gpu, { kvHeads, headSize }: Pick<ScoringDims, "kvHeads" | "headSize">, args: RingReceivedArgs): Op {
  const { norms } = args;
  const range = slotRangeParts(args.range);
  const kernel = gpu.kernels.get({
    name: "ring-received",
    code: [keyLibrary(args.storage), ...range.code, code],
    bindings: ["uniform", "read", "read", "read", "write"],
    constants: {
      G: kvHeads,
      D: headSize,
      SHARED: args.shared ? 1 : 0,
      SUMMED: args.summed ? 1 : 0,
      PART: args.part ?? 1,
      DISTANCE: args.distance ?? 0,
      WEIGHED: norms === undefined ? 0 : norms === "values" ? 1 : 2,
      EPSILON: args.epsilon ?? 0,
      ...range.constants,
    },
  });
  const plane = norms === undefined || norms === "values" ? args.received : norms;
  const group = kernel.bind([range.uniform, args.received, args.values, plane, args.importance]);
  return { record: (recorder) => recorder.dispatch(kernel, group, Math.ceil(range.slots / 64), kvHeads) };
}

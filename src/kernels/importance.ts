// importance: one dispatch of shaders/importance.wgsl.

import code from "../../shaders/importance.wgsl?raw";
import lanes from "../../shaders/lib/lanes.wgsl?raw";
import momentsRecord from "../../shaders/lib/moments-record.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import type { ScoringDims } from "./scoring";

/** Max-pool of 7 positions over the window's attention (methods.md 10.3). */
const REACH = 3;

export interface ImportanceArgs {
  readonly params: GPUBuffer;
  readonly logits: BufferView; // (H, tokens) f32
  readonly norms: BufferView; // (G, tokens) vec2f
  readonly terms: BufferView; // (G, tokens) vec2f
  readonly received: BufferView; // (G, tokens) f32; any buffer unless ensemble
  readonly moments: BufferView; // (G, 7 D/2 + 4) f32
  readonly importance: BufferView; // (G, tokens) f32
  /** Parts of expected attention, window attention and diversity; without them, expected attention alone. */
  readonly ensemble?: { readonly expected: number; readonly window: number; readonly diversity: number };
  readonly valueNorm: boolean;
}

/** Scores of a prompt's slots from their parts. */
export function importance(gpu: Gpu, dims: ScoringDims, args: ImportanceArgs): Op {
  const { heads, kvHeads, headSize } = dims;
  const parts = args.ensemble ?? { expected: 1, window: 0, diversity: 0 };
  const kernel = gpu.kernels.get({
    name: "importance",
    code: [scoreParams, momentsRecord, lanes, code],
    bindings: ["uniform", "read", "read", "read", "read", "write", "write"],
    constants: {
      H: heads,
      G: kvHeads,
      D: headSize,
      ENSEMBLE: args.ensemble ? 1 : 0,
      EXPECTED: parts.expected,
      WINDOW: parts.window,
      DIVERSITY: parts.diversity,
      VALUE_NORM: args.valueNorm ? 1 : 0,
      REACH,
    },
  });
  const group = kernel.bind([args.params, args.logits, args.norms, args.terms, args.received, args.moments, args.importance]);
  return { record: (recorder) => recorder.dispatch(kernel, group, kvHeads) };
}

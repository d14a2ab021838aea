// divergence: shaders/divergence.wgsl, two logits buffers and the token that follows to one row of figures.

import code from "../../shaders/divergence.wgsl?raw";
import samplingLib from "../../shaders/lib/sampling.wgsl?raw";
import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";

export interface DivergenceArgs {
  readonly vocab: number; // V
  readonly logits: BufferView; // (V) f32 under the compressed cache
  readonly fullLogits: BufferView; // (V) f32 under the full cache
  readonly next: BufferView; // (1) u32: id of the token that follows
  readonly result: BufferView; // DIVERGENCE_BYTES
}

/** One row of results. */
export const DIVERGENCE_BYTES = 24;

/** Natural logarithms; KL(full || compressed) over the whole vocabulary. */
export interface Divergence {
  readonly logprob: number;
  readonly fullLogprob: number;
  readonly kl: number;
  readonly top1: boolean; // both put the same id first
  readonly first: number;
  readonly fullFirst: number;
}

export function bindDivergence(gpu: Gpu, args: DivergenceArgs): Op {
  const kernel = gpu.kernels.get({
    name: "divergence",
    code: [samplingLib, code],
    bindings: ["read", "read", "read", "write"],
    constants: { WG: gpu.software ? 64 : 256, V: args.vocab },
  });
  const group = kernel.bind([args.logits, args.fullLogits, args.next, args.result]);
  return { record: (recorder) => recorder.dispatch(kernel, group, 1) };
}

/** Reads a result row that came back. Throws BAD_LOGITS if either distribution held a NaN or infinity. */
export function readDivergence(bytes: ArrayBuffer): Divergence {
  const [logprob = Number.NaN, fullLogprob = Number.NaN, kl = Number.NaN] = new Float32Array(bytes, 0, 3);
  const [first = 0, fullFirst = 0, bad = 1] = new Uint32Array(bytes, 12, 3);
  if (bad)
    throw new EngineError(
      "BAD_LOGITS",
      "The logits of a scored token hold NaN or infinity. The weights are damaged or this GPU computes wrongly; try another browser or model.",
    );
  return { logprob, fullLogprob, kl, top1: first === fullFirst, first, fullFirst };
}

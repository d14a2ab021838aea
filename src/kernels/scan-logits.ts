// scan-logits: shaders/scan-logits.wgsl, the first half of sampling. sample.ts binds it.

import sampling from "../../shaders/lib/sampling.wgsl?raw";
import code from "../../shaders/scan-logits.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";

/** Recent ids that the repetition penalty looks at. */
export const WINDOW = 64;

/** Bytes of one slice's result. */
export const SLICE_BYTES = 12;

export interface ScanLogitsArgs {
  readonly vocab: number; // V
  readonly sampling: GPUBuffer; // Sampling
  readonly recent: BufferView; // (WINDOW) u32
  readonly logits: BufferView; // (V) f32, penalised in place
  readonly slices: BufferView; // (slicesOf(gpu, V)) of SLICE_BYTES: largest logit, its id, whether one is NaN or infinite
}

/** Logits of one slice. */
export function sliceLength(gpu: Gpu): number {
  return gpu.software ? 8192 : 1024;
}

/** Slices of a vocabulary: workgroups of the scan. */
export function slicesOf(gpu: Gpu, vocab: number): number {
  return Math.ceil(vocab / sliceLength(gpu));
}

export function bindScanLogits(gpu: Gpu, args: ScanLogitsArgs): Op {
  const kernel = gpu.kernels.get({
    name: "scan-logits",
    code: [sampling, code],
    bindings: ["uniform", "read", "write", "write"],
    constants: { WG: 64, V: args.vocab, SLICE: sliceLength(gpu), WINDOW },
  });
  const group = kernel.bind([args.sampling, args.recent, args.logits, args.slices]);
  return { record: (recorder) => recorder.dispatch(kernel, group, slicesOf(gpu, args.vocab)) };
}

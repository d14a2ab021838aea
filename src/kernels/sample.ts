// sample: logits to the next token's id on the GPU, in two dispatches: shaders/scan-logits.wgsl and shaders/sample.wgsl.

import samplingLib from "../../shaders/lib/sampling.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/sample.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindScanLogits, SLICE_BYTES, slicesOf, WINDOW } from "./scan-logits";

/** How to choose; every field set (src/generate resolves them). The seed is the step's. */
export interface SamplerOptions {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
}

export interface SamplerArgs {
  readonly vocab: number; // V
  readonly step: GPUBuffer; // Step: seed and index make the random numbers
  readonly logits: BufferView; // (V) f32; the repetition penalty changes them in place
  /** (2) u32: the id, and 1 if a logit was NaN or infinite (the id then means nothing). */
  readonly token: BufferView;
  readonly sampling: SamplerOptions;
  /** What came before, for the repetition penalty: the last 64 count. */
  readonly recentIds?: readonly number[];
  readonly owner?: string;
}

/** Sampling of step.index-th tokens from the logits. Bound once a sequence; dispose it with the sequence. */
export function bindSampler(gpu: Gpu, args: SamplerArgs): Op & { dispose(): void } {
  const owner = args.owner ?? "Sampler";
  const slices = slicesOf(gpu, args.vocab);
  const options = gpu.createBuffer("Sampler.options", 32, "scratch", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, owner });
  const recent = gpu.createBuffer("Sampler.recent", WINDOW * 4, "scratch", { owner });
  const best = gpu.createBuffer("Sampler.slices", slices * SLICE_BYTES, "scratch", { owner });
  gpu.write(options, 0, packOptions(args.sampling));
  gpu.write(recent, 0, recentWindow(args.recentIds ?? []));
  const scan = bindScanLogits(gpu, { vocab: args.vocab, sampling: options, recent, logits: args.logits, slices: best });
  const kernel = gpu.kernels.get({
    name: "sample",
    code: [stepLib, samplingLib, code],
    bindings: ["uniform", "uniform", "read", "read", "write", "write"],
    constants: { WG: gpu.software ? 64 : 256, V: args.vocab, SLICES: slices, WINDOW, DRAW: args.sampling.temperature > 0 ? 1 : 0 },
  });
  const group = kernel.bind([args.step, options, best, args.logits, args.token, recent]);
  return {
    record(recorder) {
      scan.record(recorder);
      recorder.dispatch(kernel, group, 1);
    },
    dispose() {
      for (const buffer of [options, recent, best]) gpu.destroyBuffer(buffer);
    },
  };
}

/** The struct Sampling of shaders/lib/sampling.wgsl. */
function packOptions({ temperature, topK, topP, minP, repetitionPenalty }: SamplerOptions): DataView {
  const view = new DataView(new ArrayBuffer(32));
  view.setFloat32(0, temperature, true);
  view.setUint32(4, topK, true);
  view.setFloat32(8, topP, true);
  view.setFloat32(12, minP > 0 ? Math.max(-3e38, temperature * Math.log(minP)) : -3e38, true);
  view.setFloat32(16, repetitionPenalty, true);
  return view;
}

/** A ring of which slot index % WINDOW is written next: the oldest id stands in slot 0. */
function recentWindow(ids: readonly number[]): Uint32Array {
  const last = ids.slice(-WINDOW);
  return Uint32Array.from({ length: WINDOW }, (_, slot) => last[slot - (WINDOW - last.length)] ?? 0xffffffff);
}

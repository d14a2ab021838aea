// rms-norm: shaders/rms-norm.wgsl, hidden states to a chunk of normed rows.

import stepLib from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/rms-norm.wgsl?raw";
import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import type { Vector } from "../model/weights";

export interface RmsNormArgs {
  readonly step: GPUBuffer; // Step
  readonly hidden: BufferView; // (T, C) f32, rows from step.firstRow
  readonly gain: Vector; // (C)
  readonly output: BufferView; // (chunk, C) f32, rows from 0; (1, C) with `last`
  readonly epsilon: number;
  /** Only the last token of the step, for the head after a prompt. */
  readonly last?: boolean;
}

export function bindRmsNorm(gpu: Gpu, args: RmsNormArgs): { record(recorder: Recorder, tokens: number): void } {
  const cols = args.gain.length;
  if (cols % 4 !== 0) throw new EngineError("INTERNAL", `RMS norm ${args.gain.name}: ${cols} columns, expected a multiple of 4.`);
  const kernel = gpu.kernels.get({
    name: "rms-norm",
    code: [stepLib, code],
    bindings: ["uniform", "read", "read", "write"],
    constants: { WG: gpu.software ? 32 : 128, C: cols, EPSILON: args.epsilon, LAST: args.last ? 1 : 0 },
  });
  const group = kernel.bind([args.step, args.hidden, args.gain.buffer, args.output]);
  return { record: (recorder, tokens) => recorder.dispatch(kernel, group, args.last ? 1 : tokens) };
}

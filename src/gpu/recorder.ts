// recorder: one command buffer with one compute pass. Counts what it records; submits once.

import type { Gpu } from "./device";
import type { Kernel } from "./kernel";

/** Anything that can add its dispatches to a recorder. Bind groups were made when the op was bound. */
export interface Op {
  record(recorder: Recorder): void;
}

/** Totals since the device was opened; differences around a step give its cost. */
export interface Counters {
  dispatches: number;
  submits: number;
}

export class Recorder {
  readonly #encoder: GPUCommandEncoder;
  #pass: GPUComputePassEncoder | undefined;

  constructor(
    private readonly gpu: Gpu,
    private readonly counters: Counters,
    label = "Recorder",
  ) {
    this.#encoder = gpu.device.createCommandEncoder({ label });
  }

  /** Records one dispatch. A grid of zero workgroups records nothing. */
  dispatch(kernel: Kernel, group: GPUBindGroup, x: number, y = 1, z = 1): void {
    if (x * y * z === 0) return;
    const pass = (this.#pass ??= this.#encoder.beginComputePass({ label: "Recorder.pass" }));
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y, z);
    this.counters.dispatches++;
  }

  copy(source: GPUBuffer, sourceOffset: number, target: GPUBuffer, targetOffset: number, bytes: number): void {
    this.#endPass();
    this.#encoder.copyBufferToBuffer(source, sourceOffset, target, targetOffset, bytes);
  }

  clear(buffer: GPUBuffer, offset = 0, bytes = buffer.size - offset): void {
    this.#endPass();
    this.#encoder.clearBuffer(buffer, offset, bytes);
  }

  submit(): void {
    this.#endPass();
    this.gpu.check();
    this.gpu.device.queue.submit([this.#encoder.finish()]);
    this.counters.submits++;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }
}

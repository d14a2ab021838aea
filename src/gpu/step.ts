// step: the TypeScript side of shaders/lib/step.wgsl.

import type { Gpu } from "./device";

/** Values of shaders/lib/step.wgsl, in its order. */
export interface Step {
  readonly tokens: number;
  readonly firstRow: number;
  readonly firstPosition: number;
  readonly keyRow: number;
  readonly context: number;
  readonly ringLength: number;
  readonly seed: number;
  readonly index: number;
}

const FIELDS = ["tokens", "firstRow", "firstPosition", "keyRow", "context", "ringLength", "seed", "index"] as const;

/** The uniform buffer every kernel reads its step from. Write it before the submit it belongs to. */
export class StepBuffer {
  readonly buffer: GPUBuffer; // 8 u32
  readonly #values = new Uint32Array(FIELDS.length);

  constructor(
    private readonly gpu: Gpu,
    owner: string,
  ) {
    this.buffer = gpu.createBuffer(`${owner}.step`, FIELDS.length * 4, "scratch", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, owner });
  }

  write(step: Partial<Step>): void {
    FIELDS.forEach((field, index) => {
      this.#values[index] = step[field] ?? 0;
    });
    this.gpu.write(this.buffer, 0, this.#values);
  }

  dispose(): void {
    this.gpu.destroyBuffer(this.buffer);
  }
}

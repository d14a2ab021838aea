// readback: small results of each step come back through a fixed set of mappable buffers, off the critical path.

import { EngineError } from "../errors";
import type { Gpu } from "./device";
import type { Recorder } from "./recorder";

/** Steps that may be under way before the first of them is read. */
export function runAhead({ software }: Gpu): number {
  return software ? 2 : 4;
}

/** A ring of MAP_READ buffers. Copy in while recording; take out, in the same order, after the submit. */
export class Readback {
  readonly #buffers: readonly GPUBuffer[];
  #copied = 0;
  #taken = 0;

  /** @param bytes of one result, a multiple of 4 @param depth results that may be under way at once */
  constructor(
    private readonly gpu: Gpu,
    private readonly bytes: number,
    readonly depth: number,
    owner: string,
  ) {
    this.#buffers = Array.from({ length: depth }, (_, index) =>
      gpu.createBuffer(`Readback.${index}`, bytes, "readback", { owner, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST }),
    );
  }

  /** Results copied and not yet taken. */
  get pending(): number {
    return this.#copied - this.#taken;
  }

  copy(recorder: Recorder, source: GPUBuffer, offset = 0): void {
    if (this.pending === this.depth) throw new EngineError("INTERNAL", `${this.depth} results are under way already; take one before the next copy.`);
    recorder.copy(source, offset, this.#next(this.#copied++), 0, this.bytes);
  }

  /** The oldest result not yet taken. The caller owns the copy. Throws if the GPU failed meanwhile. */
  async take(): Promise<ArrayBuffer> {
    return this.gpu.map(this.#next(this.#taken++), this.bytes);
  }

  dispose(): void {
    for (const buffer of this.#buffers) this.gpu.destroyBuffer(buffer);
  }

  #next(index: number): GPUBuffer {
    const buffer = this.#buffers[index % this.depth];
    if (!buffer) throw new EngineError("INTERNAL", "A readback needs at least one buffer.");
    return buffer;
  }
}

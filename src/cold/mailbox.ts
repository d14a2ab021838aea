// mailbox: a few mappable buffers through which results come back late and in order, and nobody waits: they are delivered when they are there.
// Leaves to others: what is done with them.

import type { Gpu } from "../gpu/device";
import type { Recorder } from "../gpu/recorder";

interface Slot<Note> {
  readonly buffer: GPUBuffer;
  state: "free" | "copied" | "mapping";
  note: Note | undefined;
}

/** A part of a buffer to copy. */
export interface Part {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

export class Mailbox<Note> {
  readonly #slots: readonly Slot<Note>[];
  readonly #under = new Set<Promise<void>>();
  #closed = false;

  /** @param bytes most that one letter holds @param deliver called in order, later, with the caller's note and the bytes; without them where they did not arrive */
  constructor(
    private readonly gpu: Gpu,
    private readonly bytes: number,
    depth: number,
    owner: string,
    private readonly deliver: (note: Note, bytes: ArrayBuffer | undefined) => void,
  ) {
    this.#slots = Array.from({ length: depth }, (_, index) => ({
      buffer: gpu.createBuffer(`Mailbox.${index}`, bytes, "readback", { owner, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST }),
      state: "free",
      note: undefined,
    }));
  }

  /** Another letter can be copied now. */
  get hasRoom(): boolean {
    return this.#slots.some(({ state }) => state === "free");
  }

  /** Copies parts, one after the other. @returns false where all buffers are under way: the caller goes on without */
  copy(recorder: Recorder, parts: readonly Part[], note: Note): boolean {
    const slot = this.#slots.find(({ state }) => state === "free");
    if (!slot || this.#closed) return false;
    let at = 0;
    for (const { buffer, offset, bytes } of parts) {
      recorder.copy(buffer, offset, slot.buffer, at, bytes);
      at += bytes;
    }
    slot.state = "copied";
    slot.note = note;
    return true;
  }

  /** After the submit of what copy() recorded. */
  sent(): void {
    for (const slot of this.#slots) {
      if (slot.state !== "copied") continue;
      slot.state = "mapping";
      const under = this.#await(slot).finally(() => this.#under.delete(under));
      this.#under.add(under);
    }
  }

  /** Resolves when everything sent so far was delivered. */
  async settled(): Promise<void> {
    await Promise.all(this.#under);
  }

  /** What is still under way is dropped. */
  dispose(): void {
    this.#closed = true;
    for (const { buffer } of this.#slots) this.gpu.destroyBuffer(buffer);
  }

  /** Why a letter does not arrive (a lost device, say) is told to whoever uses the GPU next. */
  async #await(slot: Slot<Note>): Promise<void> {
    const bytes = await this.gpu.map(slot.buffer, this.bytes).catch(() => undefined);
    const { note } = slot;
    slot.state = "free";
    slot.note = undefined;
    if (note !== undefined && !this.#closed) this.deliver(note, bytes);
  }
}

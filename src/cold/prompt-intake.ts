// prompt-intake: a prompt's keys and values on their way out of the staging buffer, one layer at a time through one mappable buffer, with the importance that
// its policy gave them. Leaves to others: the store that takes them.

import type { PromptStaging, RowScores } from "../cache/kv-cache";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { Mailbox, type Part } from "./mailbox";
import { BLOCK, type ColdStore } from "./store";

export class PromptIntake {
  #mailbox: Mailbox<number> | undefined;
  #staging: PromptStaging | undefined;
  #scores: RowScores | undefined;

  constructor(
    private readonly gpu: Gpu,
    private readonly store: ColdStore,
    private readonly owner: string,
  ) {}

  begin(staging: PromptStaging, scores: RowScores | undefined): void {
    this.dispose(); // of a prompt that was aborted
    const importance = scores ? this.store.shape.kvHeads * scores.stride * 4 : 0;
    this.#staging = staging;
    this.#scores = scores;
    this.#mailbox = new Mailbox(this.gpu, 2 * staging.planeWords * 4 + importance, 1, this.owner, (layer, bytes) =>
      bytes ? this.#take(layer, bytes) : this.#giveUp(),
    );
  }

  /** After a layer's keys and values stand there, scored. The buffer is free: ready() was awaited. */
  record(recorder: Recorder, layer: number): void {
    const { rows, planeWords } = this.#staging ?? {};
    if (!rows || planeWords === undefined) return;
    const parts: Part[] = [{ buffer: rows, offset: 0, bytes: 2 * planeWords * 4 }];
    if (this.#scores) parts.push(partOf(this.#scores.scores(layer), this.store.shape.kvHeads * this.#scores.stride * 4));
    this.#mailbox?.copy(recorder, parts, layer);
  }

  sent(): void {
    this.#mailbox?.sent();
  }

  async ready(): Promise<void> {
    await this.#mailbox?.settled();
  }

  dispose(): void {
    this.#mailbox?.dispose();
    this.#mailbox = undefined;
    this.#staging = undefined;
  }

  /** A layer did not arrive: what is kept is kept in all layers. Before a prompt the cache was empty, so nothing else is in the store. */
  #giveUp(): void {
    this.store.clear();
    this.dispose();
  }

  #take(layer: number, bytes: ArrayBuffer): void {
    const { store } = this;
    const staging = this.#staging;
    if (!staging) return;
    const { planeWords, capacity, tokens } = staging;
    const words = new Uint32Array(bytes, 0, 2 * planeWords);
    const shares = this.#scores && sharesOf(new Float32Array(bytes, 8 * planeWords), this.#scores.stride, tokens, store.shape.kvHeads);
    store.put(
      layer,
      { words, keysAt: 0, valuesAt: planeWords, capacity },
      [0, tokens],
      (position) => position,
      (block) => (shares?.[block] ?? 0) / store.shape.layers,
    );
    if (layer < store.shape.layers - 1) return;
    store.finish(0, tokens);
    this.dispose();
  }
}

/** By block: its part of a layer's importance, mean over kv heads. Sinks and the newest tokens, which are not scored, count nothing. */
function sharesOf(importance: Float32Array, stride: number, tokens: number, kvHeads: number): Float64Array {
  const shares = new Float64Array(Math.ceil(tokens / BLOCK));
  for (let head = 0; head < kvHeads; head++) {
    const own = Array.from({ length: tokens }, (_, position) => {
      const value = importance[head * stride + position] ?? 0;
      return Number.isFinite(value) && value > 0 ? value : 0;
    });
    const sum = own.reduce((a, b) => a + b, 0) || 1;
    for (const [position, value] of own.entries()) shares[Math.floor(position / BLOCK)] = (shares[Math.floor(position / BLOCK)] ?? 0) + value / (sum * kvHeads);
  }
  return shares;
}

function partOf(view: BufferView, bytes: number): Part {
  return "buffer" in view ? { buffer: view.buffer, offset: view.offset, bytes } : { buffer: view, offset: 0, bytes };
}

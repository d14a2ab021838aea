// selective-reader: the bounds of a cache's chunks and which of them every layer reads: made and kept up to date with the pages, chosen before a
// token's attention, on the GPU. Creates everything at set-up. Leaves to others: attention itself (kv-cache), what was read (cache-report).

import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op, Recorder } from "../gpu/recorder";
import { bindChunkBounds } from "../kernels/chunk-bounds";
import { bindChunkScores } from "../kernels/chunk-scores";
import { bindSelectChunks } from "../kernels/select-chunks";
import { bindTurnFilter } from "../kernels/turn-filter";
import type { CacheBuffers } from "./cache-buffers";
import { unitsBeforePages } from "./extra-rows";
import type { ReadPlan } from "./read-plan";

const INFO_WORDS = 12;

export class SelectiveReader {
  readonly bounds: GPUBuffer; // (L, boundsWords) u32
  readonly selections: GPUBuffer; // (L, selectionWords) u32
  readonly #scores: GPUBuffer; // (H, 2 pairs) f32
  readonly #info: GPUBuffer; // ReadInfo
  readonly #units: GPUBuffer; // vec4u
  readonly #chosen: readonly (readonly Op[])[]; // by layer that selects

  constructor(
    private readonly gpu: Gpu,
    private readonly buffers: CacheBuffers,
    readonly plan: ReadPlan,
    rotated: GPUBuffer,
    heads: number,
  ) {
    const { owner, shape, geometry } = buffers.plan;
    const layers = shape.layers - plan.dense;
    const uniform = { owner, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST };
    this.bounds = gpu.createBuffer("SelectiveReader.bounds", layers * plan.boundsWords * 4, "kv", { owner });
    this.selections = gpu.createBuffer("SelectiveReader.selections", layers * plan.selectionWords * 4, "kv", { owner });
    buffers.remember(this.bounds, this.selections);
    this.#scores = gpu.createBuffer("SelectiveReader.scores", heads * 2 * plan.pairs * 4, "scratch", { owner });
    this.#info = gpu.createBuffer("SelectiveReader.info", INFO_WORDS * 4, "scratch", uniform);
    this.#units = gpu.createBuffer("SelectiveReader.units", 16, "scratch", uniform);
    gpu.write(this.#info, 0, readInfo(plan));
    gpu.write(this.#units, 0, new Uint32Array([this.units, 0, 0, 0]));
    this.#chosen = Array.from({ length: layers }, (_, index) => {
      const table = buffers.table(index + plan.dense);
      const shared = { info: buffers.info, reading: this.#info, table, rotated, selection: this.#selection(index), scores: this.#scores };
      return [bindChunkScores(gpu, geometry, { ...shared, bounds: this.#boundsOf(index), pairs: plan.pairs }), bindSelectChunks(gpu, geometry, shared)];
    });
  }

  /** Units of attention of a layer that selects: sinks, ring and extra rows, and the slots of the chunks it reads. */
  get units(): number {
    const { geometry, units } = this.buffers.plan;
    return Math.min(units, unitsBeforePages(this.buffers.plan, geometry.unit) + Math.ceil((this.plan.keep * this.plan.span) / geometry.unit));
  }

  /** What attention binds for a layer that selects; undefined for one that reads everything. */
  ofLayer(layer: number): { readonly selection: BufferView; readonly units: number; readonly unitsBuffer: GPUBuffer } | undefined {
    if (layer < this.plan.dense) return undefined;
    return { selection: this.#selection(layer - this.plan.dense), units: this.units, unitsBuffer: this.#units };
  }

  /**
   * Brings bounds up to date after a compression of a layer.
   * @param step the compression's uniform
   * @param slots that it moves at most into a head's list, or judges anew; Infinity: all of them
   */
  bindUpdate(step: GPUBuffer, slots: number): { record(recorder: Recorder, layer: number): void } {
    const { gpu, plan, buffers } = this;
    const pairs = Math.min(plan.pairs, Math.ceil(slots / (2 * plan.span)) + 1);
    const ops = this.#chosen.map((_, index) =>
      bindChunkBounds(gpu, buffers.plan.geometry, {
        info: buffers.info,
        step,
        reading: this.#info,
        table: buffers.table(index + plan.dense),
        bounds: this.#boundsOf(index),
        selection: this.#selection(index),
        pool: buffers.pool,
      }),
    );
    return { record: (recorder, layer) => ops[layer - plan.dense]?.record(recorder, pairs) };
  }

  /** What leaves chunks of a layer that selects out for a turn. @param turn its uniform @param received (G, stride) f32 by layer */
  bindFilter(turn: GPUBuffer, received: (layer: number) => BufferView): { record(recorder: Recorder, layer: number): void } {
    const { gpu, plan, buffers } = this;
    const ops = this.#chosen.map((_, index) =>
      bindTurnFilter(gpu, buffers.plan.geometry, {
        info: buffers.info,
        reading: this.#info,
        turn,
        table: buffers.table(index + plan.dense),
        received: received(index + plan.dense),
        scores: this.#scores,
        selection: this.#selection(index),
      }),
    );
    return { record: (recorder, layer) => ops[layer - plan.dense]?.record(recorder) };
  }

  /** Chooses what the token whose rotated queries stand in the decode buffers reads: two dispatches. */
  recordSelection(recorder: Recorder, layer: number): void {
    for (const op of this.#chosen[layer - this.plan.dense] ?? []) op.record(recorder);
  }

  dispose(): void {
    for (const buffer of [this.bounds, this.selections, this.#scores, this.#info, this.#units]) this.gpu.destroyBuffer(buffer);
  }

  #selection(index: number): BufferView {
    const size = this.plan.selectionWords * 4;
    return { buffer: this.selections, offset: index * size, size };
  }

  #boundsOf(index: number): BufferView {
    const size = this.plan.boundsWords * 4;
    return { buffer: this.bounds, offset: index * size, size };
  }
}

/** shaders/lib/read-info.wgsl. */
function readInfo({ span, keep, pairs, channels, sparse, tau, stride, anchors, left }: ReadPlan): Uint32Array {
  const words = new Uint32Array(INFO_WORDS);
  words.set([span, keep, pairs, channels, sparse ? 1 : 0, 0, stride, anchors, left]);
  new DataView(words.buffer).setFloat32(5 * 4, tau, true);
  return words;
}

// probe: the cold tier's two small buffers on the GPU and what fills them: which positions pages hold, and where a token's heads look.
// Leaves to others: reading them back late, and what they say (cold-tier).

import type { KvCache } from "../cache/kv-cache";
import type { Gpu } from "../gpu/device";
import type { Op, Recorder } from "../gpu/recorder";
import { headSignal } from "../kernels/head-signal";
import { hotSlots } from "../kernels/hot-slots";
import { Evicted, hotWords } from "./evicted";

export class Probe {
  readonly hot: GPUBuffer; // (L) of (3, G, words) u32, held, demoted and risen, each padded
  readonly signal: GPUBuffer; // (L) of (H, D) and (H) f32, each padded
  readonly signalStride: number; // bytes of a layer
  readonly #hotStride: number; // bytes of a layer
  readonly #hotWords: number; // of a layer
  readonly #hotOps: readonly Op[];
  readonly #signalOps: readonly Op[];

  /** @param rotated (H, D) f32: the queries of the token being decoded */
  constructor(
    private readonly gpu: Gpu,
    private readonly cache: KvCache,
    group: number,
    rotated: GPUBuffer,
  ) {
    const { plan, policy, buffers } = cache;
    const { layers, kvHeads, headSize } = plan.shape;
    const { info, units, partials } = buffers;
    this.#hotWords = 3 * kvHeads * hotWords(plan.tokens);
    this.#hotStride = align(this.#hotWords * 4);
    this.signalStride = align(kvHeads * group * (headSize + 1) * 4);
    this.hot = gpu.createBuffer("ColdTier.hot", layers * this.#hotStride, "scratch", { owner: plan.owner });
    this.signal = gpu.createBuffer("ColdTier.signal", layers * this.signalStride, "scratch", { owner: plan.owner });
    const each = (make: (layer: number) => Op): Op[] => Array.from({ length: layers }, (_, layer) => make(layer));
    this.#signalOps = each((layer) =>
      headSignal(gpu, plan.geometry, {
        units,
        partials,
        rotated,
        signal: { buffer: this.signal, offset: layer * this.signalStride, size: this.signalStride },
      }),
    );
    this.#hotOps = each((layer) =>
      hotSlots(gpu, plan.geometry, {
        info,
        table: buffers.table(layer),
        hot: { buffer: this.hot, offset: layer * this.#hotStride, size: this.#hotWords * 4 },
        formats: policy.formats.length,
        pool: buffers.pool,
      }),
    );
  }

  /** A dispatch a layer. */
  recordHot(recorder: Recorder): void {
    recorder.clear(this.hot);
    for (const op of this.#hotOps) op.record(recorder);
  }

  /** What pages no longer hold, asked now. @param ringStarts by layer */
  async readEvicted(ringStarts: readonly number[]): Promise<Evicted> {
    const { gpu, cache } = this;
    const recorder = gpu.record("ColdTier.hot");
    this.recordHot(recorder);
    recorder.submit();
    const evicted = new Evicted(cache.plan.shape, cache.plan.tokens);
    evicted.update(this.hotBits(new Uint32Array(await gpu.read(this.hot))), cache.policy.sinks, ringStarts);
    return evicted;
  }

  /** After a layer's attention: one dispatch. */
  recordSignal(recorder: Recorder, layer: number): void {
    this.#signalOps[layer]?.record(recorder);
  }

  /** What `hot` held, layers without their padding: (L, 3, G, words). */
  hotBits(padded: Uint32Array): Uint32Array {
    const bits = new Uint32Array(this.#hotOps.length * this.#hotWords);
    for (let layer = 0; layer < this.#hotOps.length; layer++) {
      const at = (layer * this.#hotStride) / 4;
      bits.set(padded.subarray(at, at + this.#hotWords), layer * this.#hotWords);
    }
    return bits;
  }

  dispose(): void {
    for (const buffer of [this.hot, this.signal]) this.gpu.destroyBuffer(buffer);
  }
}

function align(bytes: number): number {
  return Math.ceil(bytes / 256) * 256;
}

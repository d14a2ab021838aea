// layer-pages: weighs the layers of a prompt against each other as they come in: by one threshold of importance for all heads of all layers (budgets "global" and
// "dynamic"), or by what each layer asks for ("cake"). Before a layer is compressed the layers so far share all pages anew, and the earlier ones give up what is no
// longer theirs. A threshold only ever rises and a part only ever falls, so that the end is what one look at all layers would choose, and the pages never exceed the
// pool. Sources: KV-Compress, DynamicKV, CAKE (methods 2.9, 2.11, 2.12).

import type { Gpu } from "../gpu/device";
import type { Op, Recorder } from "../gpu/recorder";
import { bindImportanceLevels, LEVELS } from "../kernels/importance-levels";
import { bindPreferPages } from "../kernels/prefer-pages";
import { bindSharePages } from "../kernels/share-pages";
import type { CacheBuffers } from "./cache-buffers";
import { Compressor, type Intake, type SlotSource } from "./compressor";
import type { SelectiveReader } from "./selective-reader";

export class LayerPages {
  readonly #judged: GPUBuffer; // (L, G, LEVELS) u32: slots by importance; or (L) f32: preferences
  readonly #shares: GPUBuffer; // (L) uniforms of 256 bytes
  readonly #trim: Compressor;
  readonly #most: number;
  readonly #layers: readonly (readonly Op[])[];

  /**
   * @param source the prompt's rows and scores
   * @param step the uniform of the prompt's own compression, which says where its candidates are
   */
  constructor(
    private readonly gpu: Gpu,
    buffers: CacheBuffers,
    source: SlotSource & Required<Pick<SlotSource, "importance">>,
    step: GPUBuffer,
    intake: Intake,
    reader?: SelectiveReader,
  ) {
    const { plan, info, tables } = buffers;
    const { layers, kvHeads } = plan.shape;
    const { geometry, owner } = plan;
    const { scores, preference } = source.importance;
    const layerBytes = preference ? 4 : kvHeads * LEVELS * 4;
    this.#judged = gpu.createBuffer("LayerPages.judged", layers * layerBytes, "staging", { owner });
    this.#shares = gpu.createBuffer("LayerPages.shares", layers * 256, "staging", { owner, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    const shares = new Uint32Array(layers * 64);
    // What a judgement leaves free in a layer, the same in all of them but for a page a head, is no part of what they share.
    const free = plan.headroom.map(({ pages }) => pages);
    const [shared, most] = [plan.totalPages - free.reduce((a, b) => a + b, 0), plan.maxPages - Math.max(...free)];
    for (let layer = 0; layer < layers; layer++) shares.set([layer + 1, shared, most, plan.tableStride, plan.pinnedPages], layer * 64);
    gpu.write(this.#shares, 0, shares);
    this.#most = Math.min(intake.count, plan.maxPages * Math.max(...plan.layout.slotsPerPage));
    this.#trim = new Compressor(gpu, buffers, source, Math.max(1, this.#most), "judged", "staging", undefined, reader);
    this.#trim.write({ ...intake, count: 0, firstPosition: intake.firstPosition + intake.count });
    this.#layers = Array.from({ length: layers }, (_, layer): Op[] => {
      const share = { buffer: this.#shares, offset: layer * 256, size: 32 };
      if (preference)
        return [
          { record: (recorder) => recorder.copy(preference, 0, this.#judged, layer * layerBytes, layerBytes) },
          bindPreferPages(gpu, geometry, { info, share, preferences: this.#judged, tables }),
        ];
      const levels = { buffer: this.#judged, offset: layer * layerBytes, size: layerBytes };
      return [
        bindImportanceLevels(gpu, geometry, { info, step, importance: scores(layer), levels }),
        bindSharePages(gpu, geometry, { info, share, levels: this.#judged, tables }),
      ];
    });
  }

  /** Before a layer's own compression, when its scores stand: sets its budget and those of the layers before it, which are cut down to them. */
  record(recorder: Recorder, layer: number): void {
    for (const op of this.#layers[layer] ?? []) op.record(recorder);
    for (let earlier = 0; earlier < layer; earlier++) {
      this.#trim.recordLift(recorder, earlier);
      this.#trim.record(recorder, earlier, this.#most);
    }
  }

  dispose(): void {
    this.#trim.dispose();
    for (const buffer of [this.#judged, this.#shares]) this.gpu.destroyBuffer(buffer);
  }
}

// statistics: where a layer's numbers stand in a cache's statistics buffer: for every layer E|q|^2, the factors of its scores and its condensed moments
// (keptLayout), and behind them what the rings' rows received, where a method asks for it. Puts a prompt's moments there.

import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { packMoments } from "../kernels/pack-moments";
import { keptLayout, type ScoringDims } from "../kernels/scoring";
import type { ModelConfig } from "../model/model-config";

type Shape = Pick<ModelConfig, "kvHeads" | "headSize">;

/** Bytes of one layer's statistics, all parts. @param ringSlots sinks and ring, where what they receive is counted; else 0 */
export function statisticsBytesPerLayer(config: Shape, ringSlots: number): number {
  return keptLayout(config).layerBytes + receivedStride(config, ringSlots);
}

/** Where a layer's E|q|^2 begins, bytes; its factors follow. */
export function energyOffset(dims: Shape, layer: number): number {
  return layer * keptLayout(dims).layerBytes;
}

/** What kernels that read or follow a layer's moments bind: all that keptLayout tells of. */
export function keptMoments(buffer: GPUBuffer, dims: Shape, layer: number): BufferView {
  return { buffer, offset: energyOffset(dims, layer), size: keptLayout(dims).layerBytes };
}

export interface KeepMomentsArgs {
  readonly moments: GPUBuffer; // (G, 7 D/2 + 4) f32
  readonly packed: GPUBuffer; // (G, 7 D/4 + 4) u32, scratch
  readonly target: GPUBuffer;
  /** The layer they are of when the op is recorded. */
  readonly layer: () => number;
}

/** Puts a prompt's moments into the statistics of its layer. */
export function keepMoments(gpu: Gpu, dims: ScoringDims, { moments, packed, target, layer }: KeepMomentsArgs): Op {
  const pack = packMoments(gpu, dims, { moments, kept: packed });
  const { first, words } = keptLayout(dims);
  return {
    record(recorder) {
      pack.record(recorder);
      recorder.copy(packed, 0, target, energyOffset(dims, layer()) + first * 4, dims.kvHeads * words * 4);
    },
  };
}

/** Where the attention that a layer's ring rows received begins, bytes: (G, ringSlots) f32. */
export function receivedOffset(config: Shape & Pick<ModelConfig, "layers">, layer: number, ringSlots: number): number {
  return energyOffset(config, config.layers) + layer * receivedStride(config, ringSlots);
}

function receivedStride({ kvHeads }: Shape, ringSlots: number): number {
  return Math.ceil((kvHeads * ringSlots * 4) / 256) * 256;
}

/** What sums of a layer's queries would be, (H, D + 1, D), if `count` of them had the stored covariance: the mean is their pivot, so that nothing is left of it. */
export function storedSums(covariance: Float32Array, layer: number, { heads, headSize }: Pick<ScoringDims, "heads" | "headSize">, count: number): Float32Array {
  const square = headSize * headSize;
  const sums = new Float32Array(heads * (square + headSize));
  for (let head = 0; head < heads; head++) {
    const at = (layer * heads + head) * square;
    const own = covariance.subarray(at, at + square);
    sums.set(
      own.map((value) => value * count),
      head * (square + headSize),
    );
  }
  return sums;
}

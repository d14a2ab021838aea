// statistics: where a layer's numbers stand in a cache's statistics buffer: condensed moments first, then E|q|^2 of every layer and the
// factors of its scores, then what the ring's rows received, where a method asks for it.

import { momentsLayout, type ScoringDims } from "../kernels/scoring";
import type { ModelConfig } from "../model/model-config";

/** Room for E|q|^2 and the factors of a layer's kv heads, of which there may be 32; a binding's alignment. */
const ENERGY_STRIDE = 256;

/** Bytes of one layer's statistics, all parts. @param ringSlots sinks and ring, where what they receive is counted; else 0 */
export function statisticsBytesPerLayer(config: ModelConfig, ringSlots: number): number {
  return momentsLayout(config).layerBytes + ENERGY_STRIDE + receivedStride(config, ringSlots);
}

/** Where a layer's E|q|^2 begins, bytes; its factors follow. */
export function energyOffset(config: ModelConfig, layer: number): number {
  return config.layers * momentsLayout(config).layerBytes + layer * ENERGY_STRIDE;
}

/** Where the attention that a layer's ring rows received begins, bytes: (G, ringSlots) f32. */
export function receivedOffset(config: ModelConfig, layer: number, ringSlots: number): number {
  return energyOffset(config, config.layers) + layer * receivedStride(config, ringSlots);
}

function receivedStride({ kvHeads }: ModelConfig, ringSlots: number): number {
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

// statistics: where a layer's numbers stand in a cache's statistics buffer: condensed moments first, then E|q|^2 of every layer and the factors of its scores.

import { momentsLayout } from "../kernels/scoring";
import type { ModelConfig } from "../model/model-config";

/** Room for E|q|^2 and the factors of a layer's kv heads, of which there may be 32; a binding's alignment. */
const ENERGY_STRIDE = 256;

/** Bytes of one layer's statistics, both parts. */
export function statisticsBytesPerLayer(config: ModelConfig): number {
  return momentsLayout(config).layerBytes + ENERGY_STRIDE;
}

/** Where a layer's E|q|^2 begins, bytes; its factors follow. */
export function energyOffset(config: ModelConfig, layer: number): number {
  return config.layers * momentsLayout(config).layerBytes + layer * ENERGY_STRIDE;
}

// open-ring: rows of sinks and ring as they stand in the GPU's buffer, to f16 pairs, on the host. Its twin on the GPU is shaders/lib/open-ring.wgsl.

import { hadamardBlock } from "../kernels/cache-kernel";
import { float16Bits, float16Value } from "../load/float16";
import type { CachePlan } from "./cache-plan";
import { hadamard } from "./hadamard";
import { ringRowWords } from "./page-layout";

/**
 * @param ring (L, 2, ringPlane): keys and values of every layer
 * @returns (L, 2, openPlane): (G, ringSlots, D/2) f16 pairs each; the same words where the ring is kept so
 */
export function openRing(ring: Uint32Array, plan: Pick<CachePlan, "shape" | "ringSlots" | "ringBits" | "ringPlane" | "openPlane">): Uint32Array {
  const { shape, ringSlots, ringBits, ringPlane, openPlane } = plan;
  if (ringBits === 16) return ring;
  const { headSize, kvHeads, layers } = shape;
  const [words, block] = [ringRowWords(headSize, ringBits), hadamardBlock(headSize)];
  const opened = new Uint32Array(layers * 2 * openPlane);
  const x = new Float64Array(headSize);
  for (let plane = 0; plane < 2 * layers; plane++)
    for (let row = 0; row < kvHeads * ringSlots; row++) {
      const from = plane * ringPlane + row * words;
      const pair = ring[from + words - 1] ?? 0;
      const [scale, zero] = [float16Value(pair & 0xffff), float16Value(pair >>> 16)];
      for (let c = 0; c < headSize; c++) x[c] = zero + scale * (((ring[from + (c >> 2)] ?? 0) >>> (8 * (c & 3))) & 255);
      hadamard(x, 0, headSize, block);
      const to = plane * openPlane + (row * headSize) / 2;
      for (let i = 0; i < headSize / 2; i++) opened[to + i] = (float16Bits(x[2 * i] ?? 0) | (float16Bits(x[2 * i + 1] ?? 0) << 16)) >>> 0;
    }
  return opened;
}

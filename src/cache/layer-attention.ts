// layer-attention: the attention of one layer for a token being decoded, bound: over all that the layer holds, or over what it chose to read.

import type { Gpu } from "../gpu/device";
import type { Op } from "../gpu/recorder";
import { bindAttentionMerge } from "../kernels/attention-merge";
import { bindCacheAttention } from "../kernels/cache-attention";
import type { CacheBuffers } from "./cache-buffers";
import type { SelectiveReader } from "./selective-reader";

/** Buffers of a decoding step that the cache reads and writes. */
export interface DecodeBuffers {
  readonly step: GPUBuffer;
  readonly rotated: GPUBuffer; // (H * D) f32
  readonly output: GPUBuffer; // (H * D) f32
}

export interface AttentionOps {
  readonly attend: Op;
  readonly merge: Op;
}

export function bindLayerAttention(gpu: Gpu, buffers: CacheBuffers, decode: DecodeBuffers, layer: number, reader?: SelectiveReader): AttentionOps {
  const { geometry, units } = buffers.plan;
  const { step, rotated, output } = decode;
  const read = reader?.ofLayer(layer);
  const shared = { info: buffers.info, step, table: buffers.table(layer), partials: buffers.partials };
  return {
    attend: bindCacheAttention(gpu, geometry, {
      ...shared,
      rotated,
      ring: buffers.ringRows(layer),
      bases: buffers.bases(layer),
      pool: buffers.pool,
      ...(read && { selection: read.selection }),
      units: read?.units ?? units,
    }),
    merge: bindAttentionMerge(gpu, geometry, { ...shared, means: buffers.mean(layer), output, units: read?.unitsBuffer ?? buffers.units }),
  };
}

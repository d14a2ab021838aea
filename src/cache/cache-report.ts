// cache-report: what a cache holds, read back from its page tables: the map of kept positions, bytes by format, slots kept and evicted.
// Leaves to others: bytes of buffers (the ledger), drawing.

import type { CacheMap, KvReport } from "../engine-types";
import { EngineError } from "../errors";
import { FORMATS } from "./formats";
import type { KvCache } from "./kv-cache";
import { TABLE_HEADER } from "./page-layout";

export type CacheReport = Pick<KvReport, "bytesByFormat" | "slotsKept" | "slotsEvicted"> & { readonly map: CacheMap };

/** One slot: its position, and its format as an index into FORMATS. */
interface Held {
  readonly position: number;
  readonly format: number;
}

/**
 * Reads the tables and pages of a cache. Between tokens, never within one.
 * Throws PAGES_EXHAUSTED if the allocator ever ran out of pages: the content is then wrong.
 */
export async function readCache(cache: KvCache): Promise<CacheReport> {
  const { shape } = cache.plan;
  await checkAllocator(cache);
  const pages = await readPages(cache);
  const tables = new Uint32Array(await cache.read(cache.buffers.tables));
  const raw = heldRaw(cache);
  const layers = Array.from({ length: shape.layers }, (_, layer) => ({
    heads: Array.from({ length: shape.kvHeads }, (_, head) => [...raw, ...heldInPages(cache, tables, pages, layer, head)].sort((a, b) => a.position - b.position)),
  }));
  const inPages = layers.flatMap(({ heads }) => heads.flat()).length - raw.length * shape.layers * shape.kvHeads;
  const slotsKept = inPages + raw.length * shape.layers * shape.kvHeads;
  return {
    map: {
      tokens: cache.tokens,
      formats: FORMATS.map(({ name }) => name),
      layers: layers.map(({ heads }) => ({
        heads: heads.map((held) => ({ positions: Uint32Array.from(held, ({ position }) => position), format: Uint8Array.from(held, ({ format }) => format) })),
      })),
    },
    bytesByFormat: bytesByFormat(cache, tables, raw.length),
    slotsKept,
    slotsEvicted: cache.tokens * shape.layers * shape.kvHeads - slotsKept,
  };
}

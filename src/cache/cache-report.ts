// cache-report: what a cache holds, read back from its page tables: slots and bytes by format, and the map of every kept position.
// Leaves to others: bytes of buffers (the ledger), drawing.

import type { CacheMap, KvReport } from "../engine-types";
import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import { bytesReadPerToken } from "./bytes-read";
import type { CacheBuffers } from "./cache-buffers";
import { guestPositions, markerSpans } from "./extra-rows";
import { ALL_FORMATS } from "./formats";
import type { KvCache } from "./kv-cache";
import { ringRowWords, TABLE_HEADER } from "./page-layout";

export type CacheUsage = Pick<KvReport, "bytesByFormat" | "bytesReadPerToken" | "slotsKept" | "slotsEvicted">;

/** Usage and map at once. Between tokens, never within one. */
export async function readCache(gpu: Gpu, cache: KvCache): Promise<CacheUsage & { readonly map: CacheMap }> {
  return { ...(await readUsage(gpu, cache)), map: await readMap(gpu, cache) };
}

/** Slots by format: reads the tables, and the counts of what was read, alone. Throws PAGES_EXHAUSTED if the allocator ever ran out: the content is then wrong. */
export async function readUsage(gpu: Gpu, cache: KvCache): Promise<CacheUsage> {
  const { plan, policy } = cache;
  const { layers, kvHeads, headSize } = plan.shape;
  await checkAllocator(gpu, cache.buffers);
  const rawRows = Array.from({ length: layers }, (_, layer) => rawPositions(cache, layer).length);
  const raw = kvHeads * rawRows.reduce((sum, rows) => sum + rows, 0);
  const lists = pageLists(cache, new Uint32Array(await gpu.read(cache.buffers.tables)));
  const bytes: Record<string, number> = { ring: raw * 8 * ringRowWords(headSize, plan.ringBits) };
  let kept = raw;
  for (const { format, length } of lists) {
    const name = policy.formats[format]?.name ?? "";
    bytes[name] = (bytes[name] ?? 0) + length * 4 * (plan.layout.slotWords[format] ?? 0);
    kept += length;
  }
  const bytesRead = await bytesReadPerToken(gpu, cache, lists, rawRows);
  return { bytesByFormat: bytes, bytesReadPerToken: bytesRead, slotsKept: kept, slotsEvicted: cache.tokens * layers * kvHeads - kept };
}

/** Every kept position, by layer and kv head: reads all pages, a few MiB at a time. Sinks and ring count as k16v16, or k8v8. */
export async function readMap(gpu: Gpu, cache: KvCache): Promise<CacheMap> {
  const { plan, policy } = cache;
  const formats = ALL_FORMATS.map(({ name }) => name);
  const layers = Array.from({ length: plan.shape.layers }, (_, layer) => {
    const format = formats.indexOf(plan.ringBits === 8 ? "k8v8" : "k16v16");
    const raw = rawPositions(cache, layer).map((position) => ({ position, format }));
    return Array.from({ length: plan.shape.kvHeads }, () => [...raw]);
  });
  const tables = new Uint32Array(await gpu.read(cache.buffers.tables));
  const lists = pageLists(cache, tables);
  const owners = new Map(lists.flatMap((list) => list.pages.map((page, index) => [page, { list, index }] as const)));
  for await (const { page, words } of readPages(gpu, cache.buffers)) {
    const owner = owners.get(page);
    if (!owner) continue;
    const { layer, head, format, length } = owner.list;
    const slots = plan.layout.slotsPerPage[format] ?? 1;
    const at = ((plan.layout.slotWords[format] ?? 1) - 1) * slots;
    const name = formats.indexOf(policy.formats[format]?.name ?? "k16v16");
    const used = Math.min(slots, length - owner.index * slots);
    for (const word of words.subarray(at, at + used)) layers[layer]?.[head]?.push({ position: word & POSITION_MASK, format: name });
  }
  return {
    tokens: cache.tokens,
    formats,
    layers: layers.map((heads, layer) => ({
      heads: heads.map((slots, head) => {
        slots.sort((a, b) => a.position - b.position);
        return {
          positions: Uint32Array.from(slots, ({ position }) => position),
          format: Uint8Array.from(slots, ({ format }) => format),
          ...(plan.extras.guests > 0 && { guests: Uint32Array.from(guestPositions(tables, plan, { layer, head })).sort() }),
          ...(plan.extras.markers > 0 && { markers: markerSpans(tables, plan, { layer, head, end: cache.ringStart(layer) }) }),
        };
      }),
    })),
  };
}

/** The position's 19 bits in a slot's last word: shaders/lib/cache.wgsl. */
const POSITION_MASK = 0x7ffff;

/** Bytes of pages that are read at once. */
const READ_BYTES = 4 << 20;

/** Pages of one (layer, kv head, format). */
interface PageList {
  readonly layer: number;
  readonly head: number;
  readonly format: number; // index into the policy's formats
  readonly length: number; // slots
  readonly pages: readonly number[];
}

async function checkAllocator(gpu: Gpu, { free }: CacheBuffers): Promise<void> {
  const [, , capacity, error] = new Uint32Array(await gpu.read(free, 0, 16));
  if (error)
    throw new EngineError("PAGES_EXHAUSTED", `The cache needed more than its ${capacity} pages. Please report this; a larger budget avoids it.`, {
      pages: capacity,
    });
}

/** Positions that stand unquantized in a layer: sinks, and its ring's. */
function rawPositions(cache: KvCache, layer: number): number[] {
  const start = cache.ringStart(layer);
  return Array.from({ length: cache.tokens }, (_, position) => position).filter((position) => position < cache.policy.sinks || position >= start);
}

function pageLists({ plan, policy }: KvCache, words: Uint32Array): PageList[] {
  const { layers, kvHeads } = plan.shape;
  const numFormats = policy.formats.length;
  const lists: PageList[] = [];
  for (let layer = 0; layer < layers; layer++)
    for (let list = 0; list < kvHeads * numFormats; list++) {
      const format = list % numFormats;
      const lengths = layer * plan.tableStride + TABLE_HEADER;
      const starts = lengths + kvHeads * numFormats;
      const length = words[lengths + list] ?? 0;
      const first = starts + kvHeads * numFormats + (policy.mode === "static" ? list * (plan.maxPages / kvHeads) : (words[starts + list] ?? 0));
      const count = Math.ceil(length / (plan.layout.slotsPerPage[format] ?? 1));
      lists.push({ layer, head: Math.floor(list / numFormats), format, length, pages: Array.from(words.subarray(first, first + count)) });
    }
  return lists;
}

async function* readPages(gpu: Gpu, { pool, plan }: CacheBuffers): AsyncGenerator<{ page: number; words: Uint32Array }> {
  const { pageBytes, pageWords } = plan.layout;
  const step = Math.max(1, Math.floor(READ_BYTES / pageBytes));
  for (const [segment, buffer] of pool.entries()) {
    const pages = Math.floor(buffer.size / pageBytes);
    for (let first = 0; first < pages; first += step) {
      const count = Math.min(step, pages - first);
      const words = new Uint32Array(await gpu.read(buffer, first * pageBytes, count * pageBytes));
      for (let i = 0; i < count; i++)
        yield { page: segment * plan.geometry.segmentPages + first + i, words: words.subarray(i * pageWords, (i + 1) * pageWords) };
    }
  }
}

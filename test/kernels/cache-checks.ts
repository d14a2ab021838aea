// cache-checks: a cache's buffers read back, and what must hold of them whatever the policy and its schedule.

import { expect } from "vitest";
import type { KvCache } from "../../src/cache/kv-cache";
import { readBytes } from "../../src/cache/read-plan";
import type { Gpu } from "../../src/gpu/device";
import { type CacheWords, pageLists } from "../reference/page-table";

/** Format (index) by position, of one head's slots in pages. */
export type SlotFormats = ReadonlyMap<number, number>;

export async function readWords(gpu: Gpu, { buffers, plan, policy }: KvCache): Promise<CacheWords> {
  const read = async (buffer: GPUBuffer): Promise<Uint32Array> => new Uint32Array(await gpu.read(buffer));
  const pool = new Uint32Array(plan.totalPages * plan.layout.pageWords);
  let at = 0;
  for (const segment of buffers.pool) {
    const part = await read(segment);
    pool.set(part.subarray(0, pool.length - at), at);
    at = Math.min(pool.length, at + part.length);
  }
  const [tables, free, ring] = [await read(buffers.tables), await read(buffers.free), await read(buffers.ring)];
  return { plan, policy, tables, pool, free, ring, ...(plan.bases && { bases: await read(plan.bases) }) };
}

/** Where a layer's ring begins, by the kernels' own word for it. */
export function ringStartOf({ plan, policy, tables }: CacheWords, layer: number): number {
  return Math.max(policy.sinks, tables[layer * plan.tableStride + 3] ?? 0);
}

/** By layer and head; a position twice in a head is a failure. */
export function slotFormats(words: CacheWords): SlotFormats[][] {
  const { plan, policy, pool } = words;
  const { pageWords, slotWords, slotsPerPage } = plan.layout;
  const F = policy.formats.length;
  return plan.pages.map((_, layer) => {
    const heads = Array.from({ length: plan.shape.kvHeads }, () => new Map<number, number>());
    for (const [list, { length, pages }] of pageLists(words, layer).entries()) {
      const format = list % F;
      const slots = slotsPerPage[format] ?? 1;
      const head = heads[Math.floor(list / F)];
      for (let index = 0; index < length; index++) {
        const at = (pages[Math.floor(index / slots)] ?? Number.NaN) * pageWords + ((slotWords[format] ?? 1) - 1) * slots + (index % slots);
        const position = (pool[at] ?? 0) & 0x7ffff;
        if (head?.has(position)) expect.fail(`position ${position} is in pages twice, layer ${layer}`);
        head?.set(position, format);
      }
    }
    return heads;
  });
}

/** Every page is free or in one list, once; no error; every layer within its pages. */
export function checkPages({ plan, policy, tables, free, ...words }: CacheWords): void {
  const [head = 0, tail = 0, capacity = 0, error = 1] = free;
  expect(error).toBe(0);
  expect(capacity).toBe(plan.totalPages);
  const spare = Array.from({ length: tail - head }, (_, i) => free[4 + ((head + i) % capacity)] ?? -1);
  const taken = plan.pages.flatMap((budget, layer) => {
    const pages = pageLists({ plan, policy, tables, free, ...words }, layer).flatMap((list) => list.pages);
    expect(tables[layer * plan.tableStride + 1]).toBe(pages.length);
    expect(pages.length).toBeLessThanOrEqual(policy.budget.weighsLayers ? plan.maxPages : budget);
    return pages;
  });
  expect([...spare, ...taken].sort((a, b) => a - b)).toEqual(Array.from({ length: capacity }, (_, page) => page));
}

/** Its live buffers are pages, tables with means, free list, sinks and ring, statistics, and bounds and selections, to the byte, and no more than the budget. */
export function checkBytes({ bytes, plan }: KvCache, budget: number): void {
  const { layers } = plan.shape;
  const perLayer = 4 * (plan.tableStride + 2 * plan.ringPlane) + plan.statisticsStride;
  const statistics = plan.statisticsStride === 0 ? 16 : 0; // no buffer is empty
  expect(bytes).toBe(readBytes(plan.reading, layers) + layers * perLayer + statistics + 4 * (4 + plan.totalPages) + plan.totalPages * plan.layout.pageBytes);
  expect(bytes).toBeLessThanOrEqual(budget);
}

/** Of every token: in the 16-bit part, where sinks and the newest always are, or in pages, or gone; never two of these. */
export function checkTokens(words: CacheWords, slots: readonly (readonly SlotFormats[])[], tokens: number): void {
  const { sinks, ring } = words.policy;
  for (const [layer, heads] of slots.entries()) {
    const start = ringStartOf(words, layer);
    if (tokens > sinks) expect(tokens - start).toBeGreaterThanOrEqual(Math.min(tokens - sinks, Math.floor(ring / 2)));
    expect(tokens - start).toBeLessThanOrEqual(ring);
    for (const head of heads)
      for (const position of head.keys())
        if (position < sinks || position >= start) expect.fail(`position ${position} is in pages, the ring begins at ${start}`);
  }
}

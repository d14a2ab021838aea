// cache-checks: a cache's buffers read back, and what must hold of them whatever the policy and its schedule.

import { expect } from "vitest";
import type { KvCache } from "../../src/cache/kv-cache";
import { readBytes } from "../../src/cache/read-plan";
import type { Gpu } from "../../src/gpu/device";
import { type CacheWords, pageLists } from "../reference/page-table";

/** Format (index) by position, of one head's slots in pages. */
export type SlotFormats = ReadonlyMap<number, number>;

export async function readWords(gpu: Gpu, { buffers, plan, policy }: KvCache): Promise<CacheWords> {
  const none = new Uint32Array();
  const [tables = none, free = none, ring = none, ...rest] = await readAll(gpu, [
    buffers.tables,
    buffers.free,
    buffers.ring,
    ...buffers.pool,
    ...(plan.bases ? [plan.bases] : []),
  ]);
  const pool = new Uint32Array(plan.totalPages * plan.layout.pageWords);
  let at = 0;
  for (const part of rest.slice(0, buffers.pool.length)) {
    pool.set(part.subarray(0, pool.length - at), at);
    at = Math.min(pool.length, at + part.length);
  }
  const bases = rest[buffers.pool.length];
  return { plan, policy, tables, pool, free, ring, ...(bases && { bases }) };
}

/** Several buffers in one readback: waiting for the GPU is what a small one costs. */
async function readAll(gpu: Gpu, buffers: readonly GPUBuffer[]): Promise<Uint32Array[]> {
  const starts = buffers.map((_, index) => buffers.slice(0, index).reduce((sum, { size }) => sum + size, 0));
  const joined = gpu.createBuffer("Test.readAll", (starts.at(-1) ?? 0) + (buffers.at(-1)?.size ?? 0), "scratch");
  const recorder = gpu.record("readAll");
  for (const [index, buffer] of buffers.entries()) recorder.copy(buffer, 0, joined, starts[index] ?? 0, buffer.size);
  recorder.submit();
  const bytes = await gpu.read(joined);
  gpu.destroyBuffer(joined);
  return buffers.map(({ size }, index) => new Uint32Array(bytes, starts[index], size / 4));
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

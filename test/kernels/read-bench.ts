// read-bench: what a cache's selective reader holds, read back and unpacked: bounds, chosen slots, counts; and the f64 twin of a choice.

import { expect } from "vitest";
import type { KvCache } from "../../src/cache/kv-cache";
import { SELECTION_HEADER } from "../../src/cache/read-plan";
import type { Gpu } from "../../src/gpu/device";
import { fromHalf } from "../reference/codec";
import type { StoredSlot } from "../reference/page-table";
import { type Bounds, boundScale, boundsOf, chunkSizes, largest, questLogit, roundBound, sharesOf, sparseLogits } from "../reference/reading";
import type { CacheBench } from "./cache-bench";

export interface Selected {
  /** Indices into the head's list of pages that attention reads. */
  readonly slots: readonly number[];
  readonly chunks: readonly number[];
  readonly valid: boolean;
  readonly steps: number;
  readonly read: number;
  readonly scored: number;
  readonly chosen: number;
  /** By the turn's filter. */
  readonly leftOut: readonly number[];
}

/** By layer that selects, and kv head. */
export async function readSelections(gpu: Gpu, { reader, plan }: KvCache): Promise<Selected[][]> {
  if (!reader) throw new Error("This cache reads everything.");
  const words = new Uint32Array(await gpu.read(reader.selections));
  const { selectionWords, stride, dense, keep, left } = reader.plan;
  return Array.from({ length: plan.shape.layers - dense }, (_, layer) =>
    Array.from({ length: plan.shape.kvHeads }, (_, head) => {
      const at = layer * selectionWords + head * stride;
      const [count = 0, span = 1, , valid, steps = 0, read = 0, scored = 0, chosen = 0] = words.subarray(at, at + SELECTION_HEADER);
      const chunks = Array.from(words.subarray(at + SELECTION_HEADER, at + SELECTION_HEADER + Math.ceil(count / Math.max(1, span))));
      const slots = Array.from({ length: count }, (_, s) => (chunks[Math.floor(s / span)] ?? Number.NaN) * span + (s % span));
      const bits = words.subarray(at + SELECTION_HEADER + keep, at + SELECTION_HEADER + keep + left);
      const leftOut = Array.from({ length: 32 * left }, (_, chunk) => chunk).filter((chunk) => ((bits[chunk >> 5] ?? 0) >>> (chunk & 31)) & 1);
      return { slots, chunks, valid: valid === 1, steps, read, scored, chosen, leftOut };
    }),
  );
}

/** Bounds of every chunk of a head's list. */
export async function readBounds(gpu: Gpu, { reader, plan }: KvCache, layer: number, head: number, length: number): Promise<Bounds[]> {
  if (!reader) throw new Error("This cache reads everything.");
  const D = plan.shape.headSize;
  const { boundsWords, pairs, span, dense } = reader.plan;
  const words = new Uint32Array(await gpu.read(reader.bounds));
  const inBytes = (chunk: number): Bounds => {
    const at = (c: number): number => (words[(layer - dense) * boundsWords + (head * (D + 1) + c) * pairs + (chunk >> 1)] ?? 0) >>> (16 * (chunk & 1));
    const scale = fromHalf(at(D) & 0xffff);
    return {
      least: Float64Array.from({ length: D }, (_, c) => boundOfByte(at(c) & 255, scale)),
      most: Float64Array.from({ length: D }, (_, c) => boundOfByte((at(c) >>> 8) & 255, scale)),
    };
  };
  const row = (plane: number, chunk: number): Float64Array =>
    Float64Array.from({ length: D }, (_, c) => {
      const word = words[(layer - dense) * boundsWords + (head * 2 * D + plane * D + c) * pairs + (chunk >> 1)] ?? 0;
      return fromHalf(chunk & 1 ? word >>> 16 : word & 0xffff);
    });
  return chunkSizes(length, span).map((_, chunk) => (reader.plan.sparse ? { least: row(0, chunk), most: row(1, chunk) } : inBytes(chunk)));
}

function inEightBits(bounds: Bounds): Bounds {
  const scale = boundScale(bounds);
  return { least: bounds.least.map((x) => roundBound(x, scale, false)), most: bounds.most.map((x) => roundBound(x, scale, true)) };
}

/** shaders/lib/bound-codes.wgsl. */
export function boundOfByte(byte: number, scale: number): number {
  const size = ((1 + (byte & 15) / 16) * 2 ** ((byte >> 4) & 7) - 1) * scale;
  return byte & 128 ? -size : size;
}

/** Rotated queries of a kv head's group, as they stand on the GPU. */
export async function readQueries(bench: CacheBench, head: number): Promise<Float64Array[]> {
  const { D, group } = bench.shape;
  const all = new Float32Array(await bench.gpu.read(bench.decode.rotated));
  return Array.from({ length: group }, (_, h) => Float64Array.from(all.subarray((head * group + h) * D, (head * group + h + 1) * D)));
}

/** What f64 reads of a list: shares of its chunks, and the chunks chosen, none of those left out. */
export function chooseByHand(
  bench: CacheBench,
  slots: readonly StoredSlot[],
  queries: readonly Float64Array[],
  leftOut: readonly number[] = [],
): { shares: number[]; chunks: number[] } {
  const plan = bench.cache.reader?.plan;
  if (!plan) throw new Error("This cache reads everything.");
  const exact = boundsOf(
    slots.map(({ key }) => key),
    plan.span,
  );
  const bounds = plan.sparse ? exact : exact.map(inEightBits);
  const logits = plan.sparse ? sparseLogits(queries, bounds, plan.channels) : queries.map((q) => bounds.map((chunk) => questLogit(q, chunk)));
  const open = logits.map((row) => row.map((logit, chunk) => (leftOut.includes(chunk) ? -1e30 : logit)));
  const shares = sharesOf(open, chunkSizes(slots.length, plan.span)).map((share, chunk) => (leftOut.includes(chunk) ? -1 : share));
  return { shares, chunks: largest(shares, Math.min(plan.keep, shares.length - leftOut.length)) };
}

/** The chosen chunks are those of the largest shares; two that differ by less than the rounding of bounds to f16 moves shares may change places. */
export function expectChosen(chunks: readonly number[], want: { readonly shares: readonly number[]; readonly chunks: readonly number[] }): void {
  expect(chunks.length).toBe(want.chunks.length);
  expect([...chunks].sort((a, b) => a - b)).toEqual(chunks);
  expect(new Set(chunks).size).toBe(chunks.length);
  const least = Math.min(...want.chunks.map((chunk) => want.shares[chunk] ?? Number.NaN));
  for (const chunk of chunks) expect(want.shares[chunk] ?? Number.NaN).toBeGreaterThanOrEqual(least * 0.97);
}

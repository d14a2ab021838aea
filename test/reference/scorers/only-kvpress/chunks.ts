// chunks (reference): whole chunks kept (ChunkKV, 2502.00299), chunks pruned one by one (Finch), and a top-k found block by block (BlockPress).

import { keepCount } from "../../budgets";
import { type Dims, keepSet, type Numbers } from "../../expected-attention";

type HeadDims = Pick<Dims, "T" | "G">;

/** ChunkKV: slots of the max(1, trunc(chunks (1 - removed))) chunks with the greatest mean score over slots and heads; the same for every head, sorted. A short tail is a chunk. */
export function keepChunks(scores: Numbers, chunk: number, removed: number, { T, G }: HeadDims): number[] {
  const means = Array.from({ length: Math.ceil(T / chunk) }, (_, n) => {
    const slots = Array.from({ length: Math.min(chunk, T - n * chunk) }, (_, i) => n * chunk + i);
    return slots.reduce((sum, t) => sum + Array.from({ length: G }, (_, g) => scores[g * T + t] ?? 0).reduce((all, score) => all + score, 0), 0) / slots.length;
  });
  const keep = Math.max(1, keepCount(means.length, removed));
  const order = means.map((_, n) => n).sort((a, b) => means[b]! - means[a]! || a - b);
  const kept = new Set(order.slice(0, keep));
  return Array.from({ length: T }, (_, t) => t).filter((t) => kept.has(Math.floor(t / chunk)));
}

/** Chunk by chunk: `scoreChunk` sees one chunk (start, length) and gives (G, length); each keeps max(1, trunc(length (1 - removed))). Slots by head, sorted. */
export function keepPerChunk(scoreChunk: (start: number, length: number) => Numbers, chunk: number, removed: number, { T, G }: HeadDims): number[][] {
  const kept = Array.from({ length: G }, (): number[] => []);
  for (let start = 0; start < T; start += chunk) {
    const length = Math.min(chunk, T - start);
    const scores = scoreChunk(start, length);
    const keep = Math.max(1, keepCount(length, removed));
    for (let g = 0; g < G; g++) kept[g]!.push(...keepSet(scores, g, keep, { T: length, sinks: 0 }).map((t) => start + t));
  }
  return kept;
}

/** BlockPress: the best `keep` of what was kept so far and the next block, block after block; one head. */
export function keepStreaming(scores: readonly number[], block: number, keep: number): number[] {
  let kept: number[] = [];
  for (let start = 0; start < scores.length; start += block) {
    const pool = [...kept, ...Array.from({ length: Math.min(block, scores.length - start) }, (_, i) => start + i)];
    kept = pool.sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, keep);
  }
  return kept.sort((a, b) => a - b);
}

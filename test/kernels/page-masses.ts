// page-masses: what the query recorded last pays to the slots in pages of a bench's layer, in f64, by head and position.

import type { CacheWords } from "../reference/page-table";
import { paid } from "../reference/reevaluation";
import type { CacheBench } from "./cache-bench";

/** The mean over a group's heads. */
export async function pageMasses(bench: CacheBench, words: CacheWords, layer: number): Promise<number[][]> {
  const { D, G, group } = bench.shape;
  const queries = new Float32Array(await bench.gpu.read(bench.decode.rotated));
  return Array.from({ length: G }, (_, head) => {
    const slots = bench.slots(words, layer, head);
    const received = Array<number>(bench.cache.tokens).fill(0);
    for (let h = head * group; h < (head + 1) * group; h++)
      paid(
        queries.subarray(h * D, (h + 1) * D),
        slots.map(({ key }) => key),
      ).forEach((mass, n) => {
        const slot = slots[n];
        if (slot && slot.format >= 0) received[slot.position] = (received[slot.position] ?? 0) + mass / group;
      });
    return received;
  });
}

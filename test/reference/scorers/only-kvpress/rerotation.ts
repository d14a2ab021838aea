// rerotation (reference, f64): KeyRerotationPress: kept keys close ranks, each turned from its old position to its place among the kept.

import { futureRotation } from "../../../../src/cache/future-rotation";
import type { RopeConfig } from "../../../../src/model/model-config";
import { type Dims, type Numbers, pairChannels } from "../../expected-attention";

/** Keys of the kept slots of one head in order of position, (kept, D), each turned by its new index less its old position. RoPE's magnitude is in them already. */
export function rerotateKeys(keys: Numbers, head: number, kept: readonly number[], rope: RopeConfig, { T, D }: Pick<Dims, "T" | "D">): Float64Array {
  const turned = new Float64Array(kept.length * D);
  [...kept]
    .sort((a, b) => a - b)
    .forEach((t, index) => {
      const turn = futureRotation({ ...rope, magnitude: 1 }, D, index - t, 1);
      for (let pair = 0; pair < D / 2; pair++) {
        const [x, y] = pairChannels(rope.pairing, D, pair);
        const [cos, sin] = [turn[2 * pair]!, turn[2 * pair + 1]!];
        const [a, b] = [keys[(head * T + t) * D + x] ?? Number.NaN, keys[(head * T + t) * D + y] ?? Number.NaN];
        turned[index * D + x] = cos * a - sin * b;
        turned[index * D + y] = sin * a + cos * b;
      }
    });
  return turned;
}

// kept-slots: what a real cache holds of a prompt under policies that drop and never round: of every head, the slots of the greatest scores, and no others.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { PresetName } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import type { Transformer } from "../../src/model/transformer";
import { readWords, ringStartOf, slotFormats } from "../kernels/cache-checks";
import { goldenTexts, openTransformer } from "./tiny-engine";

let gpu: Gpu;
let transformer: Transformer;
beforeAll(async () => {
  ({ gpu, transformer } = await openTransformer(512));
});
afterAll(() => gpu?.dispose());

const { ids } = goldenTexts().long;

test.each<PresetName>(["snapkv", "expected-attention", "h2o", "keydiff", "pyramidkv"])("%s", async (policy) => {
  const { config } = transformer;
  const sequence = new Sequence(transformer, { policy, budget: { ratio: 0.25 } }, ids.length, ids.length);
  const planeBytes = config.kvHeads * ids.length * 4;
  const scores = gpu.createBuffer("Test.scores", config.layers * planeBytes, "scratch");
  const { score, ...target } = sequence.target();
  if (!score) throw new Error(`${policy} has no score`);
  let layer = 0;
  const noted: typeof score = (buffers) => {
    const scorer = score(buffers);
    const finish = scorer.finish.bind(scorer);
    scorer.finish = (recorder) => {
      finish(recorder);
      recorder.copy(scorer.importance, 0, scores, layer++ * planeBytes, planeBytes);
    };
    return scorer;
  };
  await prefill(transformer, ids, [{ ...target, score: noted }], { step: {}, record: () => {} });
  expect(layer).toBe(config.layers);
  const importance = new Float32Array(await gpu.read(scores));
  const words = await readWords(gpu, sequence.cache);
  const counts = new Set<number>();
  for (const [l, heads] of slotFormats(words).entries())
    for (const [g, kept] of heads.entries()) {
      const of = (position: number): number => importance[(l * config.kvHeads + g) * ids.length + position] ?? Number.NaN;
      const judged = ids.map((_, position) => position).slice(sequence.policy.sinks, ringStartOf(words, l));
      const best = judged.sort((a, b) => of(b) - of(a)).slice(0, kept.size);
      expect(inOrder(kept.keys()), `layer ${l}, head ${g}`).toEqual(inOrder(best)); // which of two alike comes first says nothing
      expect(kept.size).toBeGreaterThan(0);
      expect(kept.size).toBeLessThan(judged.length);
      counts.add(kept.size);
    }
  if (sequence.policy.budget.kind !== "uniform") expect(counts.size, "heads or layers that keep more than others").toBeGreaterThan(1);
  gpu.destroyBuffer(scores);
  await sequence.dispose();
});

function inOrder(positions: Iterable<number>): number[] {
  return [...positions].sort((a, b) => a - b);
}

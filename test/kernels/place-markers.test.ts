// place-markers: spans by the rules of the f64 twin, from the prompt on and over many compressions of the ring; nothing evicted is left out.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { testGpu } from "./gpu";
import { MarkerCase } from "./marker-case";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const shape = { D: 32, G: 2, group: 2 };
const slotBytes = 2 * 2 * 33 * 4; // of both layers and heads, in 16 bits

async function expectSpans(run: MarkerCase): Promise<void> {
  const { bench } = run;
  const [got, words] = [await run.got(), await bench.words()];
  for (const [layer, heads] of run.want.entries())
    for (const [head, want] of heads.entries()) {
      const rows = got[layer]?.[head] ?? [];
      expect(rows.map(({ first, count }) => ({ first, count }))).toEqual(want.map(({ first, count }) => ({ first, count })));
      const evicted = bench.cache.tokens - bench.slots(words, layer, head).length;
      expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(evicted);
      expect(rows.map(({ first }) => first)).toEqual(rows.map(({ first }) => first).sort((a, b) => a - b));
    }
}

test.each([
  [1, 200],
  [5, 200],
  [5, 63], // not a lane each
  [64, 129],
  [200, 150], // more markers than are dropped
])("%d markers after a prompt of %d", async (count, tokens) => {
  const policy: PolicySpec = { precision: { kind: "evict-only" }, markers: { count } };
  const run = new MarkerCase(gpu, shape, policy, { tokens: tokens + 1, budgetBytes: slotBytes * (tokens / 4 + 30) + 4 * 36 * 4 * count });
  await run.prompt(tokens);
  expect(run.want[0]?.[0]?.length).toBeGreaterThan(0);
  await expectSpans(run);
  run.bench.dispose();
});

test.each([
  ["evict-only", 1, 150],
  ["evict-only", 4, 150],
  ["rate-distortion", 4, 150],
  ["evict-only", 6, 2], // all that is evicted comes from the ring
] as const)("%s, %d markers, a prompt of %d and 90 tokens after it", async (kind, count, tokens) => {
  const policy: PolicySpec = { precision: { kind }, markers: { count } };
  const run = new MarkerCase(gpu, shape, policy, { tokens: tokens + 90, budgetBytes: kind === "evict-only" ? slotBytes * 65 : slotBytes * 35 });
  await run.prompt(tokens);
  for (let i = 0; i < 90; i++) {
    await run.append();
    if (i % 8 === 0 || i === 89) await expectSpans(run);
  }
  expect(run.want[1]?.[1]?.length).toBeGreaterThanOrEqual(Math.min(count, 3));
  run.bench.dispose();
});

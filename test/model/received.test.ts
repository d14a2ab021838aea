// received: the policies that score by attention received, from the prompt to the ring, on the tiny model.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { ToolEngine } from "../../src/engine";
import type { PolicySpec, PresetName } from "../../src/engine-types";
import { goldenTexts, loadTiny, scoreAll } from "./tiny-engine";

let engine: ToolEngine;
beforeAll(async () => {
  engine = await loadTiny({ calibration: false });
});
afterAll(() => engine.dispose());

const policies: (PresetName | PolicySpec)[] = [
  "snapkv",
  "ada-snapkv",
  "tova",
  "h2o",
  "criticalkv",
  "defensivekv",
  "attention-history",
  { score: { kind: "h2o", reduce: "mean", decay: 0.99 }, precision: { kind: "rate-distortion" } },
];

test.each(policies)("%j keeps to its budget, a token's cost, and most of what the model says", async (policy) => {
  const ids = goldenTexts().long.ids.slice(0, 340);
  const { kv, tokens, meanKl, perToken } = await scoreAll(engine, { prompt: { ids }, from: 300, policy, budget: { ratio: 0.3 } });
  expect(tokens).toHaveLength(40);
  expect(kv.bytes).toBeLessThanOrEqual((0.3 * kv.fullBytes * ids.length) / (ids.length - 1)); // the last token is never run, but has its room
  expect(kv.slotsEvicted).toBeGreaterThan(0);
  expect(perToken.dispatches / engine.info.model.layers).toBeLessThanOrEqual(10);
  expect(perToken.objectsCreated).toBe(0);
  for (const { kl } of tokens) expect(Number.isFinite(kl)).toBe(true);
  expect(meanKl).toBeGreaterThan(0);
});

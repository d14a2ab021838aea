// smollm2: the real model on real text, shortly: what a quarter of the bytes costs under the rule and under eviction. Longer runs: npm run bench.

import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CacheOptions, Engine, ScoreResult } from "../../src/engine-types";
import { loadInNode } from "../../src/node/load-in-node";

const FILE = "models/cache/smollm2-135m.gguf";
const present = existsSync(FILE);
if (!present) console.log(`not run: SmolLM2 acceptance, as ${FILE} is not there (npm run model -- smollm2-135m gets it)`);

/** Prose of 1,216 tokens; here its first 352. */
const [context] = (JSON.parse(readFileSync("test/golden/smollm2-contexts.json", "utf8")) as { name: string; ids: number[] }[]).filter(
  ({ name }) => name === "persuasion",
);

describe.skipIf(!present)("SmolLM2-135M", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await loadInNode({ model: "smollm2-135m" });
  }, 300_000);
  afterAll(async () => {
    await engine?.dispose();
  });

  async function scored(options: CacheOptions): Promise<ScoreResult> {
    const prompt = { ids: context?.ids.slice(0, 352) ?? [] };
    for await (const event of engine.score({ prompt, from: 320, ...options })) if (event.kind === "done") return event.result;
    throw new Error("The stream ended without a result.");
  }

  test("a quarter of the bytes: the rule stays ten times closer to the full cache than eviction, in real bytes", async () => {
    const budget = { ratio: 0.25 };
    const rule = await scored({ policy: "rate-distortion", budget });
    const eviction = await scored({ policy: "expected-attention", budget });
    for (const { kv } of [rule, eviction]) expect(kv.bytes).toBeLessThanOrEqual(0.25 * 352 * 23_040);
    console.log(`mean KL over ${rule.tokens.length} tokens: rate-distortion ${rule.meanKl.toFixed(4)}, expected-attention ${eviction.meanKl.toFixed(4)} nats`);
    expect(rule.meanKl).toBeLessThan(eviction.meanKl / 10);
    expect(rule.top1Agreement).toBeGreaterThan(0.9);
  }, 600_000);

  test("chat: the answer names the capital", async () => {
    const prompt = { messages: [{ role: "user", content: "What is the capital of France? Answer in one word." }] } as const;
    let text = "";
    for await (const event of engine.generate({ prompt, maxTokens: 12 })) if (event.kind === "tokens") text += event.text;
    expect(text).toContain("Paris");
  }, 300_000);
});

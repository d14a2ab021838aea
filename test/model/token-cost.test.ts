// token-cost: what every single decoded token records, submits and creates, by the device's own counters, while rings are compressed under it.

import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CacheOptions, PolicySpec } from "../../src/engine-types";
import { resolveSampling } from "../../src/generate/sampling-options";
import type { Gpu } from "../../src/gpu/device";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import type { Transformer } from "../../src/model/transformer";
import { openTransformer } from "./tiny-engine";

/** What an optional part adds: placing and folding, where a layer's ring is compressed. */
const MARKED: PolicySpec = { score: { kind: "expected-attention" }, precision: { kind: "evict-only" }, markers: { count: 2 } };

/** The fewest layers of any model at hand, and many; tokens enough for several compressions of every layer's ring. */
const MODELS = [
  {
    name: "tiny",
    file: "models/tiny/tiny-q8_0.gguf",
    tokens: 60,
    policies: ["full", "uniform-8", "uniform-4", "expected-attention", "rate-distortion", MARKED],
  },
  { name: "smollm2", file: "models/cache/smollm2-135m.gguf", tokens: 34, policies: ["full", "rate-distortion"] },
] as const;

/** Dispatches of a layer for a token before which nothing is compressed: QKV, RoPE, attention in two, output, gate and up, down. */
const ORDINARY = 7;
/** Of a decoding step besides its layers: embedding, first norm, head, and two of the sampler. */
const OUTSIDE_LAYERS = 5;

const POLICIES: readonly CacheOptions[] = [
  { policy: "full" },
  { policy: "uniform-8" },
  { policy: "uniform-4" },
  { policy: "expected-attention", budget: { ratio: 1 } },
  { policy: "rate-distortion", budget: { ratio: 1 } },
  { policy: MARKED, budget: { ratio: 1 } },
];

for (const { name, file, tokens, policies } of MODELS) {
  const present = existsSync(file);
  if (!present) console.log(`not run: ${name} token cost, as ${file} is not there (npm run model -- smollm2-135m gets it)`);
  describe.skipIf(!present)(name, () => {
    let gpu: Gpu;
    let transformer: Transformer;
    beforeAll(async () => {
      ({ gpu, transformer } = await openTransformer(1024, file));
    });
    afterAll(() => gpu?.dispose());

    // Prompts of which tokens go into pages, and of which none do: then the first compression of a ring takes a dispatch more, for the means.
    test.for(POLICIES.filter(({ policy }) => policies.some((known) => known === policy)).flatMap((cache) => [30, 3].map((prompt) => ({ ...cache, prompt }))))(
      "$policy after $prompt tokens",
      async ({ prompt, ...cache }) => {
        const costs = await costsOf(gpu, transformer, cache, prompt, tokens);
        const { layers } = transformer.config;
        const marked = cache.policy === MARKED ? 2 : 0; // of the layers whose turn it is, one in eight
        console.log(
          `${name}, ${typeof cache.policy === "string" ? cache.policy : "with markers"} after ${prompt} tokens: at most ${Math.max(...costs.map(({ dispatches }) => dispatches)) / layers} dispatches a layer`,
        );
        for (const { dispatches, submits, objects } of costs) {
          expect(dispatches / layers).toBeLessThanOrEqual(10 + (marked * Math.ceil(layers / 8)) / layers); // of the whole submit: embedding, head and sampler too
          expect([submits, objects]).toEqual([1, 0]);
        }
        // In a round of eight tokens every layer compresses its ring once, and scored ones also observe two tokens.
        const round = costs.slice(-8).reduce((sum, { dispatches }) => sum + dispatches, 0);
        expect(round - 8 * (ORDINARY * layers + OUTSIDE_LAYERS)).toBe(((cache.budget ? 5 + 2 : 3) + marked) * layers);
      },
    );

    test.for(name === "tiny" ? ON_AVERAGE : [])("$policy on average", async ({ policy, more }) => {
      const costs = await costsOf(gpu, transformer, { policy, budget: { ratio: 1 } }, 40, 88);
      const { layers } = transformer.config;
      const mean = costs.slice(-64).reduce((sum, { dispatches }) => sum + dispatches, 0) / 64 / layers;
      console.log(`${name}, ${policy}: ${mean} dispatches a layer on average, at most ${Math.max(...costs.map(({ dispatches }) => dispatches)) / layers}`);
      expect(mean).toBeLessThanOrEqual(10 + more);
      for (const { submits, objects } of costs) expect([submits, objects]).toEqual([1, 0]);
    });
  });
}

/** Presets that count more than these, over a round of re-evaluation; `more` dispatches a layer are for the choice of what is read. */
const ON_AVERAGE = [
  { policy: "h2o", more: 0 },
  { policy: "snapkv", more: 0 },
  { policy: "agacc", more: 0 },
  { policy: "quest", more: 2 },
  { policy: "rocketkv-mt", more: 2 },
] as const;

/** Of every token after a prompt of made-up ids. */
async function costsOf(gpu: Gpu, transformer: Transformer, cache: CacheOptions, prompt: number, tokens: number) {
  const sequence = new Sequence(transformer, cache, prompt + tokens);
  const decoder = new Decoder(transformer, sequence.cache, resolveSampling({}), []);
  const ids = Array.from({ length: prompt }, (_, index) => 100 + index);
  try {
    await gpu.kernels.ready();
    await prefill(transformer, ids, [sequence.target()], { step: {}, record: () => {} });
    const costs = [];
    for (let index = 0; index < tokens; index++) {
      const { dispatches, submits } = gpu.counters;
      const objects = gpu.objectsCreated;
      decoder.force(100 + index, true);
      costs.push({ dispatches: gpu.counters.dispatches - dispatches, submits: gpu.counters.submits - submits, objects: gpu.objectsCreated - objects });
      await decoder.take();
    }
    return costs;
  } finally {
    decoder.dispose();
    sequence.dispose();
  }
}

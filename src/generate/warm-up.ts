// warm-up: compiles what the first request would otherwise wait for: the kernels of prompts, caches, scores and decoding.
// Runs nothing on the GPU.

import type { PresetName } from "../engine-types";
import { Decoder } from "../model/decoder";
import { Judge } from "../model/judge";
import { Sequence } from "../model/sequence";
import type { Transformer } from "../model/transformer";
import { resolveSampling } from "./sampling-options";

/** Policies whose kernels differ: without a score, and with each of the two. */
const POLICIES: readonly PresetName[] = ["full", "expected-attention", "lacuna"];

/** Tokens of the caches that are bound and thrown away; enough that any budget of theirs is too. */
const TOKENS = 256;

/** @param tell compiled so far, and all */
export async function warmUp(transformer: Transformer, tell?: (done: number, total: number) => void): Promise<void> {
  const parts: { dispose(): void }[] = [];
  try {
    const prompt = transformer.bindPrompt([0]);
    parts.push(prompt);
    for (const policy of POLICIES) {
      const sequence = new Sequence(transformer, { policy, budget: { ratio: 1 } }, TOKENS);
      parts.unshift(sequence, new Decoder(transformer, sequence.cache, resolveSampling({}), [0]));
      const { cache, score } = sequence.target();
      const scorer = score?.({ ...prompt.scoreBuffers, promptTokens: 1 });
      cache.beginPrompt({ ...prompt.staging, tokens: 1 }, scorer && { scores: () => scorer.importance, stride: 1, queryEnergy: () => scorer.queryEnergy });
    }
    parts.unshift(new Judge(transformer, "WarmUp"));
    await transformer.gpu.kernels.ready(tell);
  } finally {
    for (const part of parts) part.dispose();
  }
}

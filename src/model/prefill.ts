// prefill: runs a prompt layer by layer. Every chunk goes through a layer, that layer's keys and values stand unquantized in one staging
// buffer, the policy's statistics are gathered on the way, then the layer is compressed into pages and the buffer serves the next one.
// Several caches can take the same prompt in one pass. Source: design, section 5.

import type { KvCache } from "../cache/kv-cache";
import type { PromptBuffers, PromptScorer } from "../cache/prompt-scorer";
import { energyOffset } from "../cache/statistics";
import type { RunOptions } from "../engine-types";
import { throwIfAborted } from "../errors";
import type { Recorder } from "../gpu/recorder";
import type { Step } from "../gpu/step";
import type { Transformer } from "./transformer";

/** A cache that takes the prompt, and how its slots are scored, if they are. */
export interface PromptTarget {
  readonly cache: KvCache;
  readonly score?: (buffers: Omit<PromptBuffers, "owner" | "momentsTarget">) => PromptScorer;
}

/** What goes into the same submit as the prompt's last logits, before another request can overwrite them. */
export interface PromptEnd {
  readonly step: Partial<Step>;
  record(recorder: Recorder): void;
}

/**
 * Fills the caches with the prompt; `end` finds the logits of its last token in transformer.logits.
 * Aborts between chunks (ABORTED); nothing of it stays on the GPU then but the caches, which their owner disposes.
 */
export async function prefill(
  transformer: Transformer,
  ids: readonly number[],
  targets: readonly PromptTarget[],
  end: PromptEnd,
  options: RunOptions = {},
): Promise<void> {
  const { gpu, config, chunk } = transformer;
  const prompt = transformer.bindPrompt(ids);
  const scored: { readonly cache: KvCache; readonly scorer?: PromptScorer }[] = [];
  try {
    for (const target of targets) {
      const scorer = target.score?.({ ...prompt.scoreBuffers, promptTokens: ids.length });
      scored.push({ cache: target.cache, ...(scorer && { scorer }) });
      const scores = scorer && { scores: () => scorer.importance, stride: ids.length, queryEnergy: () => scorer.queryEnergy };
      target.cache.beginPrompt({ ...prompt.staging, tokens: ids.length }, scores);
    }
    await gpu.kernels.ready();
    const total = config.layers * ids.length;
    for (let layer = 0; layer < config.layers; layer++) {
      for (let first = 0; first < ids.length; first += chunk) {
        throwIfAborted(options.signal);
        const tokens = Math.min(chunk, ids.length - first);
        const last = first + tokens === ids.length;
        transformer.step.write({ tokens, firstRow: first, firstPosition: first, keyRow: first, context: first + tokens });
        const recorder = gpu.record("prefill");
        prompt.recordKeys(recorder, layer, tokens);
        for (const { scorer } of scored) {
          if (first === 0) scorer?.begin(recorder, layer);
          scorer?.gather(recorder, tokens, first);
        }
        // The last layer's output matters for the last token alone.
        if (last || layer < config.layers - 1) prompt.recordRest(recorder, layer, tokens);
        if (last)
          for (const { cache, scorer } of scored) {
            scorer?.finish(recorder);
            if (scorer) recorder.copy(scorer.queryEnergy, 0, cache.buffers.statistics, energyOffset(config, layer), config.kvHeads * 4);
            cache.recordPrompt(recorder, layer);
          }
        recorder.submit();
        await gpu.idle();
        options.onProgress?.({ phase: "prefill", done: layer * ids.length + first + tokens, total });
      }
    }
    throwIfAborted(options.signal);
    transformer.step.write({ ...end.step, tokens: 1, firstRow: ids.length - 1 });
    const recorder = gpu.record("prefill.head");
    prompt.recordLogits(recorder);
    end.record(recorder);
    recorder.submit();
    for (const { cache } of scored) cache.endPrompt(ids.length);
  } finally {
    for (const { scorer } of scored) scorer?.dispose(); // its statistics stand in the cache now
    prompt.dispose();
  }
  for (const { cache } of targets) cache.beginDecoding();
  await gpu.kernels.ready();
}

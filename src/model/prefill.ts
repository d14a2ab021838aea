// prefill: runs a prompt layer by layer. Every chunk goes through a layer, that layer's keys and values stand unquantized in one staging
// buffer, the policy's statistics are gathered on the way, then the layer is compressed into pages and the buffer serves the next one.
// Several caches can take the same prompt in one pass. A replay may follow the prompt in every layer: its queries score the prompt's slots,
// nothing else of it is kept. Source: design, section 5; methods 10.3.

import type { KvCache } from "../cache/kv-cache";
import type { PromptBuffers, PromptScorer } from "../cache/prompt-scorer";
import { energyOffset } from "../cache/statistics";
import type { RunOptions } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import type { Recorder } from "../gpu/recorder";
import type { Step } from "../gpu/step";
import type { Transformer } from "./transformer";

/** A cache that takes the prompt, and how its slots are scored, if they are. */
export interface PromptTarget {
  readonly cache: KvCache;
  /** The score wants the prompt's replay. */
  readonly replay?: boolean;
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
  replay: readonly (readonly number[])[] = [],
): Promise<void> {
  const { gpu, config } = transformer;
  if (replay.length === 0 && targets.some((target) => target.replay))
    throw new EngineError("INTERNAL", "A score wants the prompt's replay and prefill() was given none. Pass replayParts().");
  const chunks = chunksOf(ids.length, replay, transformer.chunk);
  const prompt = transformer.bindPrompt([...ids, ...replay.flat()], { capacity: ids.length + Math.max(0, ...replay.map((part) => part.length)) });
  const scored: { readonly cache: KvCache; readonly scorer?: PromptScorer }[] = [];
  try {
    for (const target of targets) {
      const scorer = target.score?.({ ...prompt.scoreBuffers, promptTokens: ids.length });
      scored.push({ cache: target.cache, ...(scorer && { scorer }) });
      const scores = scorer && { scores: () => scorer.importance, stride: ids.length, queryEnergy: () => scorer.queryEnergy, preference: scorer.preference };
      target.cache.beginPrompt({ ...prompt.staging, tokens: ids.length }, scores);
    }
    await gpu.kernels.ready();
    const rows = ids.length + replay.flat().length;
    for (let layer = 0; layer < config.layers; layer++) {
      for (const [index, { tokens, firstRow, firstPosition }] of chunks.entries()) {
        throwIfAborted(options.signal);
        if (index === chunks.length - 1) for (const { cache } of scored) await cache.watcher?.ready();
        const replayed = firstRow >= ids.length;
        transformer.step.write({ tokens, firstRow, firstPosition, keyRow: firstPosition, context: firstPosition + tokens });
        const recorder = gpu.record("prefill");
        prompt.recordKeys(recorder, layer, tokens);
        for (const { scorer } of scored) {
          if (index === 0) scorer?.begin(recorder, layer);
          scorer?.gather(recorder, tokens, firstPosition, replayed);
        }
        // The last layer's output matters for the prompt's last token alone.
        if (layer < config.layers - 1 || firstRow + tokens === ids.length) prompt.recordRest(recorder, layer, tokens);
        if (index === chunks.length - 1)
          for (const { cache, scorer } of scored) {
            scorer?.finish(recorder);
            if (scorer) recorder.copy(scorer.queryEnergy, 0, cache.buffers.statistics, energyOffset(config, layer), scorer.queryEnergy.size);
            cache.recordPrompt(recorder, layer);
          }
        recorder.submit();
        for (const { cache } of scored) cache.watcher?.sent();
        await gpu.idle();
        options.onProgress?.({ phase: "prefill", done: layer * rows + firstRow + tokens, total: config.layers * rows });
      }
    }
    throwIfAborted(options.signal);
    transformer.step.write({ ...end.step, tokens: 1, firstRow: ids.length - 1 });
    const recorder = gpu.record("prefill.head");
    prompt.recordLogits(recorder);
    end.record(recorder);
    recorder.submit();
    for (const { cache } of scored) {
      cache.endPrompt(ids.length);
      cache.watcher?.tell(0, ids);
    }
  } finally {
    for (const { scorer } of scored) scorer?.dispose(); // its statistics stand in the cache now
    prompt.dispose();
  }
  for (const { cache } of targets) cache.beginDecoding();
  await gpu.kernels.ready();
}

/** A submit's worth of rows. A part of a replay stands where the prompt ends, as if it alone followed. */
interface Chunk {
  readonly tokens: number;
  readonly firstRow: number; // of the hidden states
  readonly firstPosition: number;
}

function chunksOf(promptTokens: number, replay: readonly (readonly number[])[], most: number): Chunk[] {
  const chunks: Chunk[] = [];
  let start = 0;
  for (const [part, length] of [promptTokens, ...replay.map((ids) => ids.length)].entries()) {
    const before = part === 0 ? 0 : promptTokens;
    for (let first = 0; first < length; first += most)
      chunks.push({ tokens: Math.min(most, length - first), firstRow: start + first, firstPosition: before + first });
    start += length;
  }
  return chunks;
}

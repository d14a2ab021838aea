// prompt-pass: rows of a prompt on their way through layers, chunk by chunk: all of its tokens, or those that go on alone (FastKV). Keys and values of a layer
// stand in the staging buffer until the caches have compressed them. Leaves to others: which layers, which rows (prefill).

import type { KvCache } from "../cache/kv-cache";
import type { PromptBuffers, PromptScorer } from "../cache/prompt-scorer";
import { energyOffset } from "../cache/statistics";
import { throwIfAborted } from "../errors";
import type { PromptOps, Transformer } from "./transformer";

/** A cache that takes the prompt, and how its slots are scored, if they are. */
export interface PromptTarget {
  readonly cache: KvCache;
  /** The score wants the prompt's replay. */
  readonly replay?: boolean;
  readonly score?: (buffers: Omit<PromptBuffers, "owner" | "momentsTarget">) => PromptScorer;
}

/** A submit's worth of rows. A part of a replay stands where the prompt ends, as if it alone followed. */
export interface Chunk {
  readonly tokens: number;
  readonly firstRow: number; // of the hidden states
  readonly firstPosition: number; // among the rows
}

export interface LayerRun {
  readonly layer: number;
  readonly signal: AbortSignal | undefined;
  /** A score that no cache has: it chooses who goes on. */
  readonly chooser?: PromptScorer | undefined;
  /** A chunk is done, its last row the `rows`-th. */
  done(rows: number): void;
}

export class PromptPass {
  readonly #scored: { readonly cache: KvCache; readonly scorer?: PromptScorer }[] = [];
  readonly #chunks: readonly Chunk[];

  /**
   * @param tokens of the prompt that go through it, `of` all
   * @param replay parts that follow the prompt in every layer, their lengths
   */
  constructor(
    private readonly transformer: Transformer,
    private readonly targets: readonly PromptTarget[],
    readonly prompt: PromptOps,
    readonly tokens: number,
    private readonly of: number,
    replay: readonly number[] = [],
  ) {
    this.#chunks = chunksOf(tokens, replay, transformer.chunk);
  }

  /** Binds scores and compression, from the next layer on. */
  begin(): void {
    const { prompt, tokens, of } = this;
    const { positionStart, ...staging } = prompt.staging;
    for (const { cache, score } of this.targets) {
      const scorer = score?.({ ...prompt.scoreBuffers, promptTokens: tokens, nextPosition: of });
      this.#scored.push({ cache, ...(scorer && { scorer }) });
      const scores = scorer && { scores: () => scorer.importance, stride: tokens, queryEnergy: () => scorer.queryEnergy, preference: scorer.preference };
      cache.beginPrompt({ ...staging, tokens, ...(positionStart !== undefined && { chosen: { of, positionStart } }) }, scores);
    }
  }

  /** Aborts between chunks (ABORTED). */
  async run({ layer, signal, chooser, done }: LayerRun): Promise<void> {
    const { transformer, prompt } = this;
    const { gpu, config } = transformer;
    const scorers = [...this.#scored.flatMap(({ scorer }) => scorer ?? []), ...(chooser ? [chooser] : [])];
    for (const [index, { tokens, firstRow, firstPosition }] of this.#chunks.entries()) {
      throwIfAborted(signal);
      const lastChunk = index === this.#chunks.length - 1;
      if (lastChunk) for (const { cache } of this.#scored) await cache.watcher?.ready();
      transformer.step.write({ tokens, firstRow, firstPosition, keyRow: firstPosition, context: firstPosition + tokens });
      const recorder = gpu.record("prefill");
      prompt.recordKeys(recorder, layer, tokens);
      for (const scorer of scorers) {
        if (index === 0) scorer.begin(recorder, layer);
        scorer.gather(recorder, tokens, firstPosition, firstRow >= this.tokens);
      }
      // The last layer's output matters for the prompt's last token alone.
      if (layer < config.layers - 1 || firstRow + tokens === this.tokens) prompt.recordRest(recorder, layer, tokens);
      if (lastChunk) {
        chooser?.finish(recorder);
        for (const { cache, scorer } of this.#scored) {
          scorer?.finish(recorder);
          if (scorer && cache.policy.score)
            recorder.copy(scorer.queryEnergy, 0, cache.buffers.statistics, energyOffset(config, layer), scorer.queryEnergy.size);
          cache.recordPrompt(recorder, layer);
        }
      }
      recorder.submit();
      for (const { cache } of this.#scored) cache.watcher?.sent();
      await gpu.idle();
      done(firstRow + tokens);
    }
  }

  dispose(): void {
    for (const { scorer } of this.#scored.splice(0)) scorer?.dispose(); // its statistics stand in the cache now
    this.prompt.dispose();
  }
}

function chunksOf(promptTokens: number, replay: readonly number[], most: number): Chunk[] {
  const chunks: Chunk[] = [];
  let start = 0;
  for (const [part, length] of [promptTokens, ...replay].entries()) {
    const before = part === 0 ? 0 : promptTokens;
    for (let first = 0; first < length; first += most)
      chunks.push({ tokens: Math.min(most, length - first), firstRow: start + first, firstPosition: before + first });
    start += length;
  }
  return chunks;
}

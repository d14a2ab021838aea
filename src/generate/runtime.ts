// runtime: what every request of a loaded engine shares, and what generate and score both do with a prompt.

import { readMap, readUsage } from "../cache/cache-report";
import { fullBytesPerToken } from "../cache/page-layout";
import type { ColdTier } from "../cold/cold-tier";
import type { CacheMap, ColdReport, KvReport, PerToken, Prompt, Timings } from "../engine-types";
import { EngineError } from "../errors";
import type { Sequence } from "../model/sequence";
import type { Transformer } from "../model/transformer";
import { ChatTemplate } from "../text/chat-template";
import { Tokenizer, type TokenizerMetadata } from "../text/tokenizer";

export interface Runtime {
  readonly transformer: Transformer;
  readonly tokenizer: Tokenizer;
  /** Positions prepared for. */
  readonly context: number;
  /** Made at its first use: a model without a template still takes raw prompts. */
  template(): ChatTemplate;
}

/** @param metadata of the model's file: its vocabulary, and its template if it has one */
export function createRuntime(transformer: Transformer, metadata: TokenizerMetadata): Runtime {
  const tokenizer = new Tokenizer(metadata);
  let template: ChatTemplate | undefined;
  return {
    transformer,
    tokenizer,
    context: transformer.context,
    template: () => {
      template ??= new ChatTemplate(metadata.chatTemplate, tokenizer);
      return template;
    },
  };
}

/** The ids of a prompt; checked against vocabulary and context. */
export function encodePrompt(runtime: Runtime, prompt: Prompt): number[] {
  const { context } = runtime;
  const ids = checkIds(runtime, promptIds(runtime, prompt));
  if (ids.length >= context)
    throw new EngineError(
      "CONTEXT_FULL",
      `The prompt has ${ids.length} tokens; ${context} positions are prepared, one of them for an answer. Shorten it, or load with a larger context.`,
      { found: ids.length, expected: context - 1 },
    );
  return ids;
}

/** The ids of a prompt as they are; at least one, all of the vocabulary. */
export function checkIds({ tokenizer }: Runtime, ids: number[]): number[] {
  if (ids.length === 0) throw new EngineError("BAD_OPTION", "The prompt has no tokens. Give it some text.", { field: "prompt" });
  const unknown = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < tokenizer.size));
  if (unknown !== undefined)
    throw new EngineError("BAD_OPTION", `The prompt holds the id ${unknown}. Allowed with this model's vocabulary: 0 to ${tokenizer.size - 1}.`, {
      field: "prompt",
      found: unknown,
      expected: tokenizer.size - 1,
    });
  return ids;
}

/** The ids of a prompt that begins a text, unchecked. TypeScript's callers cannot get its form wrong; JSON's can. */
export function promptIds(runtime: Runtime, prompt: Prompt): number[] {
  if (typeof prompt === "object" && prompt !== null) {
    if ("ids" in prompt && (Array.isArray(prompt.ids) || ArrayBuffer.isView(prompt.ids))) return [...prompt.ids];
    if ("text" in prompt && typeof prompt.text === "string") return runtime.tokenizer.encodePrompt(prompt.text);
    if ("messages" in prompt && Array.isArray(prompt.messages)) return runtime.template().encode(prompt.messages);
  }
  throw new EngineError(
    "BAD_OPTION",
    "Option prompt is none of { text }, { ids } and { messages }. Give one of them: a string, or an array of ids or of messages.",
    { field: "prompt" },
  );
}

/** Where a prompt is cut: tokens before go through compression, those from it on come in afterwards. At least one on the first side. */
export function checkFrom(from: number, least: number, most: number): number {
  if (Number.isInteger(from) && from >= least && from <= most) return from;
  throw new EngineError(
    "BAD_OPTION",
    `Option from is ${from}: tokens before it are compressed, those from it on come in afterwards. Allowed for this prompt: ${least} to ${most}.`,
    { field: "from", found: from },
  );
}

/** Memory of a sequence as it is now, and its map if asked for. Reads the tables back. */
export async function reportKv(runtime: Runtime, sequence: Sequence, peakBytes: number, withMap: boolean): Promise<{ kv: KvReport; cacheMap?: CacheMap }> {
  const { config } = runtime.transformer;
  const { gpu } = runtime.transformer;
  const { bytesByFormat, bytesReadPerToken, slotsKept, slotsEvicted } = await readUsage(gpu, sequence.cache);
  const fullBytes = sequence.cache.tokens * fullBytesPerToken(config);
  return {
    kv: {
      bytes: sequence.cache.bytes,
      fullBytes,
      peakBytes,
      bytesByFormat,
      bytesReadPerToken,
      slotsKept,
      slotsEvicted,
      ...(sequence.cold && { cold: await coldReport(sequence.cold) }),
    },
    ...(withMap
      ? { cacheMap: { ...(await readMap(gpu, sequence.cache)), ...(sequence.cold && { recalled: Uint32Array.from(sequence.cold.recalled()) }) } }
      : {}),
  };
}

/** Where the slots are, and what those outside the GPU take. */
export async function coldReport(cold: ColdTier): Promise<ColdReport> {
  const counts = await cold.counts();
  const { bytes, maxBytes, fileBytes, fileFailure } = cold.store;
  return { ...counts, bytes, maxBytes, fileBytes, ...(fileFailure !== undefined && { fileFailure }) };
}

/** Speeds. Decoding is counted between the first and the last token: (n - 1) / (t_last - t_first). */
export function timings(promptTokens: number, prefillMs: number, newTokens: number, decodeMs: number): Timings {
  return {
    prefillMs,
    decodeMs,
    prefillTokensPerSecond: prefillMs > 0 ? (1000 * promptTokens) / prefillMs : 0,
    decodeTokensPerSecond: newTokens > 1 && decodeMs > 0 ? (1000 * (newTokens - 1)) / decodeMs : 0,
  };
}

/** Counts what decoding costs the host, from the device's own counters. */
export class CostMeter {
  #steps = 0;
  #dispatches = 0;
  #submits = 0;
  #objects = 0;

  constructor(private readonly transformer: Transformer) {}

  /** Runs one token's step and adds what it recorded, submitted and created. */
  measure(step: () => void): void {
    const { gpu } = this.transformer;
    const { dispatches, submits } = gpu.counters;
    const objects = gpu.objectsCreated;
    step();
    this.#steps++;
    this.#dispatches += gpu.counters.dispatches - dispatches;
    this.#submits += gpu.counters.submits - submits;
    this.#objects += gpu.objectsCreated - objects;
  }

  /** Means over the steps; dispatches include the compressions of the ring that fell among them. */
  perToken(): PerToken {
    const steps = Math.max(1, this.#steps);
    return { dispatches: this.#dispatches / steps, submits: this.#submits / steps, objectsCreated: this.#objects / steps };
  }
}

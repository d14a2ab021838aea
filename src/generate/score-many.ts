// score-many: several policies beside the full cache, in one pass over the prompt; then all of them are forced through the same tokens.
// For tools that compare policies; an engine has it beside score(), which does the same for one policy and sends events on the way.

import type { CacheOptions, KvReport, Prompt, RunOptions, ScoredToken, Timings } from "../engine-types";
import { EngineError, isEngineError, throwIfAborted } from "../errors";
import { Decoder } from "../model/decoder";
import { Judge } from "../model/judge";
import { prefill } from "../model/prefill";
import { Sequence } from "../model/sequence";
import type { Transformer } from "../model/transformer";
import { encodeForced, Parts } from "./forced";
import { replayParts } from "./replay";
import { type Runtime, reportKv, timings } from "./runtime";
import { resolveSampling } from "./sampling-options";

export interface ScoreManyRequest extends RunOptions {
  readonly prompt: Prompt;
  /** Tokens before `from` are the prompt, compressed; those from it on are forced. */
  readonly from: number;
  readonly caches: readonly CacheOptions[];
  /** Forced so far, and all. */
  readonly onForced?: (done: number, total: number) => void;
}

export interface CacheScore {
  /** Empty for the full cache, which every other one is compared with. */
  readonly tokens: readonly ScoredToken[];
  /** `peakBytes` leaves the other policies' caches out: what a run of this policy alone takes. */
  readonly kv: KvReport;
  /** One token after the other, each waited for. */
  readonly timings: Timings;
}

/** Throws what score() throws; a cache that cannot be made is refused before anything runs, with its index in `details.cache`. */
export async function scoreMany(runtime: Runtime, request: ScoreManyRequest): Promise<{ readonly full: CacheScore; readonly caches: readonly CacheScore[] }> {
  const { transformer } = runtime;
  const { gpu } = transformer;
  const { ids, from, prompt } = encodeForced(runtime, request);
  const parts = new Parts();
  try {
    const judge = parts.keep(new Judge(transformer, "ScoreMany"));
    const sides = [{ policy: "full" } as const, ...request.caches].map((options, index) => {
      const sequence = parts.keep(makeSequence(transformer, options, { tokens: ids.length, prompt: from }, index - 1));
      const decoder = parts.keep(new Decoder(transformer, sequence.cache, resolveSampling({}), [], index === 0 ? judge.fullLogits : judge.logits));
      return { sequence, decoder, tokens: [] as ScoredToken[], decodeMs: 0 };
    });
    const owners = sides.map(({ sequence }) => sequence.cache.plan.owner);
    const peaks = owners.map((own) => gpu.ledger.watch(["ScoreMany", ...owners.filter((owner) => owner !== own)]));
    for (const peak of peaks) parts.keep({ dispose: () => peak.end() });
    await gpu.kernels.ready();
    const started = performance.now();
    const shared = sides.flatMap(({ sequence }) => (sequence.policy.propagate ? [] : sequence));
    const targets = shared.map((sequence) => sequence.target());
    await prefill(transformer, prompt, targets, judge.promptEnd(), request, replayParts(runtime, prompt, shared));
    await gpu.idle();
    const sharedMs = performance.now() - started;
    const own = await passesOfTheirOwn(
      transformer,
      prompt,
      sides.map(({ sequence }) => sequence),
      judge,
      request,
    );
    for (let index = from; index < ids.length; index++) {
      throwIfAborted(request.signal);
      for (const [number, side] of sides.entries()) {
        const startedMs = performance.now();
        if (index > from) side.decoder.force(ids[index - 1] ?? 0);
        else if (number > 0) judge.show(own.get(side.sequence)?.logits ?? judge.fullLogits);
        if (number === 0) await gpu.idle();
        else side.tokens.push(await judge.compare(ids[index] ?? 0)); // its logits stand there until the next side's overwrite them
        if (index > from) side.decodeMs += performance.now() - startedMs;
      }
      request.onForced?.(index + 1 - from, ids.length - from);
    }
    const scores: CacheScore[] = [];
    for (const [number, { sequence, tokens, decodeMs }] of sides.entries()) {
      const { kv } = await reportKv(runtime, sequence, peaks[number]?.bytes ?? 0, false);
      scores.push({ tokens, kv, timings: timings(from, own.get(sequence)?.prefillMs ?? sharedMs, ids.length - from, decodeMs) });
    }
    const [full, ...caches] = scores;
    return { full: full as CacheScore, caches };
  } finally {
    await parts.dispose();
  }
}

/** Where only part of the prompt's tokens go on, hidden states are no other cache's: a pass of its own, whose last logits are kept. */
async function passesOfTheirOwn(
  transformer: Transformer,
  prompt: readonly number[],
  sequences: readonly Sequence[],
  judge: Judge,
  options: RunOptions,
): Promise<ReadonlyMap<Sequence, { readonly logits: GPUBuffer; readonly prefillMs: number }>> {
  const passes = new Map<Sequence, { readonly logits: GPUBuffer; readonly prefillMs: number }>();
  for (const sequence of sequences) {
    if (!sequence.policy.propagate) continue;
    const logits = judge.keepLogits();
    const started = performance.now();
    await prefill(transformer, prompt, [sequence.target()], judge.promptEnd([logits]), options);
    await transformer.gpu.idle();
    passes.set(sequence, { logits, prefillMs: performance.now() - started });
  }
  return passes;
}

/** Throws what would keep one of these caches from being made, with its index in `details.cache`; runs nothing. */
export function checkCaches(transformer: Transformer, caches: readonly CacheOptions[], tokens: number): void {
  for (const [index, options] of caches.entries()) makeSequence(transformer, options, { tokens, prompt: tokens }, index).dispose();
}

function makeSequence(transformer: Transformer, options: CacheOptions, count: { tokens: number; prompt: number }, cache: number): Sequence {
  try {
    return new Sequence(transformer, options, count.tokens, count.prompt);
  } catch (error) {
    throw isEngineError(error) ? new EngineError(error.code, error.message, { ...error.details, cache }, { cause: error }) : error;
  }
}

// score: forces known tokens through a compressed and a full cache side by side and measures how far they drift apart.

import type { ScoredToken, ScoreEvent, ScoreRequest } from "../engine-types";
import { throwIfAborted } from "../errors";
import { Decoder } from "../model/decoder";
import { Judge } from "../model/judge";
import { prefill } from "../model/prefill";
import { Sequence } from "../model/sequence";
import { encodeForced, Parts } from "./forced";
import { replayParts } from "./replay";
import { CostMeter, type Runtime, reportKv, timings } from "./runtime";
import { resolveSampling } from "./sampling-options";

/** Tokens per event. */
const BATCH = 8;

/** Scores the prompt's tokens from `from` on. One pass over the prompt fills both caches (two where the policy propagates a part of it); then both see the same tokens. */
export async function* score(runtime: Runtime, request: ScoreRequest): AsyncGenerator<ScoreEvent, void, undefined> {
  const { transformer } = runtime;
  const { gpu } = transformer;
  const { ids, from, prompt } = encodeForced(runtime, request);
  const parts = new Parts();
  try {
    const sequence = parts.keep(new Sequence(transformer, request, ids.length, from));
    const full = parts.keep(new Sequence(transformer, { policy: "full" }, ids.length));
    const judge = parts.keep(new Judge(transformer, sequence.cache.plan.owner));
    const compressed = parts.keep(new Decoder(transformer, sequence.cache, resolveSampling({}), [], judge.logits));
    const exact = parts.keep(new Decoder(transformer, full.cache, resolveSampling({}), [], judge.fullLogits));
    await gpu.kernels.ready();
    const started = performance.now();
    if (sequence.policy.propagate) {
      await prefill(transformer, prompt, [full.target()], judge.promptEnd([judge.fullLogits]), request);
      await prefill(transformer, prompt, [sequence.target()], judge.promptEnd([judge.logits]), request);
    } else await prefill(transformer, prompt, [sequence.target(), full.target()], judge.promptEnd(), request, replayParts(runtime, prompt, [sequence]));
    await gpu.idle();
    const prefillMs = performance.now() - started;
    const meter = new CostMeter(transformer);
    const tokens: ScoredToken[] = [];
    let sent = 0;
    const decodeStarted = performance.now();
    for (let index = from; index < ids.length; index++) {
      throwIfAborted(request.signal);
      if (index > from) {
        const previous = ids[index - 1] ?? 0;
        meter.measure(() => compressed.force(previous));
        exact.force(previous);
      }
      tokens.push(await judge.compare(ids[index] ?? 0));
      if (tokens.length - sent < BATCH && index < ids.length - 1) continue;
      yield { kind: "scored", tokens: tokens.slice(sent) };
      sent = tokens.length;
    }
    const decodeMs = performance.now() - decodeStarted;
    const peakBytes = gpu.ledger.peak;
    yield {
      kind: "done",
      result: {
        from,
        tokens,
        meanKl: tokens.reduce((sum, token) => sum + token.kl, 0) / tokens.length,
        top1Agreement: tokens.filter((token) => token.top1).length / tokens.length,
        prompt: { tokens: ids.length, ids },
        ...(await reportKv(runtime, sequence, peakBytes, request.cacheMap ?? false)),
        timings: timings(from, prefillMs, tokens.length, decodeMs),
        perToken: meter.perToken(),
      },
    };
  } finally {
    await parts.dispose();
  }
}

// score: forces known tokens through a compressed and a full cache side by side and measures how far they drift apart.

import type { ScoreEvent, ScoreRequest, ScoredToken } from "../engine-types";
import { throwIfAborted } from "../errors";
import { Readback } from "../gpu/readback";
import type { Recorder } from "../gpu/recorder";
import { bindDivergence, DIVERGENCE_BYTES, readDivergence } from "../kernels/divergence";
import { Decoder } from "../model/decoder";
import { prefill } from "../model/prefill";
import { CostMeter, checkFrom, encodePrompt, type Runtime, reportKv, timings } from "./runtime";
import { resolveSampling } from "./sampling-options";
import { Sequence } from "./sequence";

/** Tokens per event. */
const BATCH = 8;

/** Scores the prompt's tokens from `from` on. One pass over the prompt fills both caches; then both see the same tokens. */
export async function* score(runtime: Runtime, request: ScoreRequest): AsyncGenerator<ScoreEvent, void, undefined> {
  const { transformer } = runtime;
  const { gpu } = transformer;
  const ids = encodePrompt(runtime, request.prompt);
  const from = checkFrom(request.from, 1, ids.length - 1);
  const sequence = new Sequence(transformer, request, ids.length);
  const full = new Sequence(transformer, { policy: "full" }, ids.length);
  const greedy = resolveSampling({});
  const { owner } = sequence.cache.plan;
  const readback = new Readback(gpu, DIVERGENCE_BYTES, 2, owner);
  const logits = gpu.createBuffer("Score.logits", transformer.config.vocab * 4, "scratch", { owner });
  const fullLogits = gpu.createBuffer("Score.fullLogits", transformer.config.vocab * 4, "scratch", { owner });
  const result = gpu.createBuffer("Score.result", DIVERGENCE_BYTES, "scratch", { owner });
  const forced = gpu.createBuffer("Score.forced", 16, "scratch", { owner });
  const decoders: Decoder[] = [];
  try {
    const divergence = bindDivergence(gpu, { logits, fullLogits, next: forced, result, vocab: transformer.config.vocab });
    const compressed = new Decoder(transformer, sequence.cache, greedy, [], logits);
    decoders.push(compressed);
    const exact = new Decoder(transformer, full.cache, greedy, [], fullLogits);
    decoders.push(exact);
    const started = performance.now();
    gpu.ledger.resetPeak();
    const copyLogits = {
      step: {},
      record(recorder: Recorder) {
        for (const target of [logits, fullLogits]) recorder.copy(transformer.logits, 0, target, 0, target.size);
      },
    };
    await prefill(transformer, ids.slice(0, from), [sequence.target(), full.target()], copyLogits, request);
    await gpu.device.queue.onSubmittedWorkDone();
    const prefillMs = performance.now() - started;
    const tokens: ScoredToken[] = [];
    let batch: ScoredToken[] = [];
    const meter = new CostMeter(transformer);
    const decodeStarted = performance.now();
    for (let index = from; index < ids.length; index++) {
      throwIfAborted(request.signal);
      const id = ids[index] ?? 0;
      if (index > from) {
        const previous = ids[index - 1] ?? 0;
        meter.measure(() => compressed.force(previous));
        exact.force(previous);
      }
      gpu.write(forced, 0, new Uint32Array([id]));
      const recorder = gpu.record("score");
      divergence.record(recorder);
      readback.copy(recorder, result);
      recorder.submit();
      const scored = { id, ...readDivergence(await readback.take()) };
      tokens.push(scored);
      batch.push(scored);
      if (batch.length === BATCH || index === ids.length - 1) {
        yield { kind: "scored", tokens: batch };
        batch = [];
      }
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
    for (const decoder of decoders) decoder.dispose();
    readback.dispose();
    for (const buffer of [logits, fullLogits, result, forced]) gpu.destroyBuffer(buffer);
    sequence.dispose();
    full.dispose();
  }
}

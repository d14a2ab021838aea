// generate: prompt in, tokens out, as they come. Steps run ahead of what has been read back; what lies past an end is dropped.

import { fullBytesPerToken } from "../cache/page-layout";
import type { FinishReason, GenerateEvent, GenerateRequest } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import { Decoder } from "../model/decoder";
import { prefill } from "../model/prefill";
import { Sequence } from "../model/sequence";
import { TextStream } from "../text/text-stream";
import { replayParts } from "./replay";
import { CostMeter, checkFrom, encodePrompt, type Runtime, reportKv, timings } from "./runtime";
import { resolveMaxTokens, resolveSampling } from "./sampling-options";
import { StopSplitter } from "./stop";

/** Answers one prompt. Leaving the loop early, or the signal, ends it within one chunk or token; everything is freed then. */
export async function* generate(runtime: Runtime, request: GenerateRequest): AsyncGenerator<GenerateEvent, void, undefined> {
  const { transformer, tokenizer } = runtime;
  const { gpu } = transformer;
  throwIfAborted(request.signal);
  const sampling = resolveSampling(request);
  const stops = new StopSplitter(request.stop ?? []);
  const promptIds = encodePrompt(runtime, request.prompt);
  const from = checkFrom(request.from ?? promptIds.length, 1, promptIds.length);
  const maxTokens = Math.min(resolveMaxTokens(request.maxTokens), runtime.context - promptIds.length);
  const sequence = new Sequence(transformer, request, promptIds.length + maxTokens, from);
  let decoder: Decoder | undefined;
  try {
    const running = new Decoder(transformer, sequence.cache, sampling, promptIds);
    decoder = running;
    await gpu.kernels.ready();
    const started = performance.now();
    await takePrompt(runtime, running, sequence, promptIds, from, request);
    const ids: number[] = [];
    const text = new TextStream(tokenizer);
    const output: string[] = [];
    let prefillMs = 0;
    let firstAt = 0;
    let lastAt = 0;
    let sampled = 1;
    let finishReason: FinishReason | undefined;
    const meter = new CostMeter(transformer);
    const step = (): void => running.step();
    while (finishReason === undefined) {
      if (request.signal?.aborted) {
        finishReason = "abort";
        break;
      }
      while (sampled < maxTokens && running.hasRoom) {
        meter.measure(step);
        sampled++;
      }
      const id = checkSample(await running.take(), ids.length);
      lastAt = performance.now();
      if (ids.length === 0) {
        firstAt = lastAt;
        prefillMs = firstAt - started;
        yield { kind: "prefilled", promptIds, prefillMs, kvBytes: sequence.cache.bytes };
      }
      ids.push(id);
      let piece = "";
      if (tokenizer.endIds.has(id)) finishReason = "stop";
      else {
        const shown = stops.push(text.push([id]));
        piece = shown.text;
        if (shown.matched !== undefined) finishReason = "stop";
        else if (ids.length === maxTokens) finishReason = promptIds.length + ids.length >= runtime.context ? "context" : "length";
      }
      if (finishReason !== undefined && !stops.ended) piece += endOfText(text, stops);
      output.push(piece);
      yield {
        kind: "tokens",
        ids: [id],
        text: piece,
        count: ids.length,
        kvBytes: sequence.cache.bytes,
        fullBytes: (promptIds.length + ids.length) * fullBytesPerToken(transformer.config),
        elapsedMs: lastAt - firstAt,
      };
    }
    while (running.pending > 0) await running.take();
    const peakBytes = gpu.ledger.peak;
    yield {
      kind: "done",
      result: {
        prompt: { tokens: promptIds.length, ids: promptIds },
        output: { text: output.join(""), ids, finishReason },
        ...(await reportKv(runtime, sequence, peakBytes, request.cacheMap ?? false)),
        timings: timings(promptIds.length, prefillMs, ids.length, lastAt - firstAt),
        perToken: meter.perToken(),
      },
    };
  } finally {
    while (decoder && decoder.pending > 0) await decoder.take().catch(() => undefined);
    decoder?.dispose();
    sequence.dispose();
  }
}

/** Runs the prompt: what comes before `from` in one pass, compressed; the rest token by token. The first sample is under way afterwards. */
async function takePrompt(
  runtime: Runtime,
  decoder: Decoder,
  sequence: Sequence,
  ids: readonly number[],
  from: number,
  request: GenerateRequest,
): Promise<void> {
  const { transformer } = runtime;
  const nothing = { step: {}, record: () => {} };
  const prompt = ids.slice(0, from);
  const replay = replayParts(runtime, prompt, [sequence]);
  await prefill(transformer, prompt, [sequence.target()], from === ids.length ? decoder.first() : nothing, request, replay);
  for (let index = from; index < ids.length; index++) {
    throwIfAborted(request.signal);
    const last = index === ids.length - 1;
    decoder.force(ids[index] ?? 0, last);
    if (index % 16 === 0) await transformer.gpu.idle();
  }
}

function checkSample({ id, finite }: { readonly id: number; readonly finite: boolean }, index: number): number {
  if (finite) return id;
  throw new EngineError(
    "BAD_LOGITS",
    `The logits of new token ${index} hold NaN or infinity. The weights are damaged or this GPU computes wrongly; try another browser or model.`,
    { index },
  );
}

function endOfText(text: TextStream, stops: StopSplitter): string {
  const rest = stops.push(text.flush());
  return stops.ended ? rest.text : rest.text + stops.flush();
}

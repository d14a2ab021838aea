// turn: one prompt and its answer over a sequence that may hold a conversation already: the loop that every generation runs.
// Steps run ahead of what has been read back; what lies past an end is dropped. Leaves to others: whose sequence it is (generate, session).

import { fullBytesPerToken } from "../cache/page-layout";
import type { FinishReason, GenerateEvent, RunOptions, SamplingOptions } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import { Decoder } from "../model/decoder";
import { prefill } from "../model/prefill";
import type { Sequence } from "../model/sequence";
import { TextStream } from "../text/text-stream";
import { replayParts } from "./replay";
import { CostMeter, type Runtime, reportKv, timings } from "./runtime";
import { resolveMaxTokens, resolveSampling, type Sampling } from "./sampling-options";
import { StopSplitter } from "./stop";

/** What a caller may say of any turn. */
export interface TurnRequest extends SamplingOptions, RunOptions {
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
  readonly cacheMap?: boolean;
}

/** The same, checked. */
export interface TurnOptions extends RunOptions {
  readonly sampling: Sampling;
  readonly stops: StopSplitter;
  readonly maxTokens: number;
  readonly cacheMap: boolean;
}

export interface Turn {
  /** The conversation: what the cache holds, then what it is to take in, this turn's prompt last. Tokens of the answer are added as they are told. */
  readonly ids: number[];
  readonly promptIds: readonly number[];
  /** Tokens before it go in by one pass, compressed, where the cache is empty; the others one by one. */
  readonly from: number;
  /** Tokens at which there is no room left: an answer cut off there ends by "context", not by "length". */
  readonly capacity: number;
}

/** Throws ABORTED and BAD_OPTION, before anything is touched. */
export function checkTurn(request: TurnRequest): TurnOptions {
  throwIfAborted(request.signal);
  return {
    sampling: resolveSampling(request),
    stops: new StopSplitter(request.stop ?? []),
    maxTokens: resolveMaxTokens(request.maxTokens),
    cacheMap: request.cacheMap ?? false,
    ...(request.signal && { signal: request.signal }),
    ...(request.onProgress && { onProgress: request.onProgress }),
  };
}

/**
 * Runs a turn. However it ends, what ran ahead is waited for, and may have left tokens in the cache that stand past the end of `ids`: at most
 * as many as it can take back (KvCache.rewind).
 */
export async function* runTurn(runtime: Runtime, sequence: Sequence, turn: Turn, options: TurnOptions): AsyncGenerator<GenerateEvent, void, undefined> {
  const { transformer } = runtime;
  const { cache } = sequence;
  const { ids, promptIds, capacity } = turn;
  const decoder = new Decoder(transformer, cache, options.sampling, ids);
  try {
    await transformer.gpu.kernels.ready();
    const started = performance.now();
    await takePrompt(runtime, decoder, sequence, turn, options);
    const answer = new Answer(runtime, options, capacity);
    const meter = new CostMeter(transformer);
    const step = (): void => decoder.step();
    let prefillMs = 0;
    let firstAt = 0;
    let lastAt = 0;
    let sampled = 1;
    while (answer.finishReason === undefined) {
      if (options.signal?.aborted) {
        answer.finishReason = "abort";
        break;
      }
      const count = answer.ids.length;
      while (sampled < options.maxTokens && decoder.hasRoom && sampled - count <= cache.mostUnsure) {
        meter.measure(step);
        sampled++;
      }
      const id = checkSample(await decoder.take(), count);
      lastAt = performance.now();
      if (count === 0) {
        firstAt = lastAt;
        prefillMs = firstAt - started;
        yield { kind: "prefilled", promptIds, prefillMs, kvBytes: cache.bytes };
      }
      ids.push(id);
      const text = answer.take(id, ids.length);
      yield {
        kind: "tokens",
        ids: [id],
        text,
        count: answer.ids.length,
        kvBytes: cache.bytes,
        fullBytes: ids.length * fullBytesPerToken(transformer.config),
        elapsedMs: lastAt - firstAt,
      };
    }
    while (decoder.pending > 0) await decoder.take();
    yield {
      kind: "done",
      result: {
        prompt: { tokens: promptIds.length, ids: promptIds },
        output: { text: answer.text, ids: answer.ids, finishReason: answer.finishReason },
        ...(await reportKv(runtime, sequence, transformer.gpu.ledger.peak, options.cacheMap)),
        timings: timings(promptIds.length, prefillMs, answer.ids.length, lastAt - firstAt),
        perToken: meter.perToken(),
      },
    };
  } finally {
    while (decoder.pending > 0) await decoder.take().catch(() => undefined);
    decoder.dispose();
  }
}

/** Tokens that a turn's input may be ahead of the GPU where queries come back on the way: what they point at is recalled among the input's own tokens. */
const PACED = 2;

/** Takes the prompt in: into an empty cache what comes before `from` in one pass, compressed; the rest token by token. The first sample is under way afterwards. */
async function takePrompt(runtime: Runtime, decoder: Decoder, sequence: Sequence, { ids, from }: Turn, options: TurnOptions): Promise<void> {
  const { transformer } = runtime;
  const { cache } = sequence;
  await sequence.cold?.arrived(); // of the turn before: what comes late is applied at a fixed token
  cache.beginTurn({ first: cache.tokens === 0 ? from : cache.tokens, end: ids.length, newTokens: options.maxTokens });
  if (cache.tokens === 0) {
    const prompt = ids.slice(0, from);
    const end = from === ids.length ? decoder.first() : { step: {}, record: () => {} };
    await prefill(transformer, prompt, [sequence.target()], end, options, replayParts(runtime, prompt, [sequence]));
  }
  const first = cache.tokens;
  for (let index = first; index < ids.length; index++) {
    throwIfAborted(options.signal);
    const last = index === ids.length - 1;
    if (last && sequence.cold?.settings.settle) await sequence.cold.settle();
    decoder.force(ids[index] ?? 0, last);
    if (index % (sequence.cold ? PACED : 16) !== 0) continue;
    await transformer.gpu.idle();
    await sequence.cold?.arrived();
    options.onProgress?.({ phase: "prefill", done: index + 1 - first, total: ids.length - first });
  }
}

/** The tokens told so far, their text, and what ends them. */
class Answer {
  readonly ids: number[] = [];
  finishReason: FinishReason | undefined;
  readonly #stream: TextStream;
  readonly #pieces: string[] = [];

  constructor(
    private readonly runtime: Runtime,
    private readonly options: TurnOptions,
    private readonly capacity: number,
  ) {
    this.#stream = new TextStream(runtime.tokenizer);
  }

  get text(): string {
    return this.#pieces.join("");
  }

  /** @param tokens of the conversation, this one included @returns the text that the token completes */
  take(id: number, tokens: number): string {
    const { stops, maxTokens } = this.options;
    this.ids.push(id);
    let piece = "";
    if (this.runtime.tokenizer.endIds.has(id)) this.finishReason = "stop";
    else {
      const shown = stops.push(this.#stream.push([id]));
      piece = shown.text;
      if (shown.matched !== undefined) this.finishReason = "stop";
      else if (this.ids.length === maxTokens) this.finishReason = tokens >= this.capacity ? "context" : "length";
    }
    if (this.finishReason !== undefined && !stops.ended) piece += this.#rest();
    this.#pieces.push(piece);
    return piece;
  }

  #rest(): string {
    const { stops } = this.options;
    const rest = stops.push(this.#stream.flush());
    return stops.ended ? rest.text : rest.text + stops.flush();
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

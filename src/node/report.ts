// report: an engine's result as the command line's JSON object, as a file of the cache map, and as a line for people. Pure.

import type { CacheMap, EngineInfo, GenerateResult, KvReport, ScoreResult, Timings } from "../engine-types";
import { isEngineError } from "../errors";

/** The object that --json prints. A scored run generates nothing: its output is empty and `score` is there. */
export function toJson(info: EngineInfo, result: GenerateResult | ScoreResult) {
  const { name, architecture, sha256, layers, kvHeads, headSize } = info.model;
  const { prefillMs, decodeMs, prefillTokensPerSecond, decodeTokensPerSecond } = result.timings;
  const { bytes, fullBytes, peakBytes, bytesByFormat, bytesReadPerToken, slotsKept, slotsEvicted } = result.kv;
  const { dispatches, submits, objectsCreated } = result.perToken;
  return {
    model: { name, architecture, sha256, layers, kvHeads, headSize },
    adapter: { description: info.adapter.description, features: info.adapter.features },
    prompt: { tokens: result.prompt.tokens, ids: result.prompt.ids },
    output:
      "output" in result
        ? { text: result.output.text, ids: result.output.ids, finishReason: result.output.finishReason }
        : { text: "", ids: [], finishReason: "length" },
    kv: { bytes, fullBytes, peakBytes, bytesByFormat, bytesReadPerToken, slotsKept, slotsEvicted },
    timings: { loadMs: info.loadMs, prefillMs, decodeMs, prefillTokensPerSecond, decodeTokensPerSecond },
    perToken: { dispatches, submits, objectsCreated },
    ...("output" in result ? {} : { score: scoreJson(result) }),
  };
}

/** What --cache-map writes: every kept position with its format's name. */
export function cacheMapJson(map: CacheMap) {
  return {
    tokens: map.tokens,
    layers: map.layers.map(({ heads }) => ({
      heads: heads.map(({ positions, format }) => ({ positions: [...positions], formats: [...format].map((index) => map.formats[index]) })),
    })),
  };
}

/** What --json prints on failure: the code, the message and the same facts for machines. */
export function errorJson(error: unknown) {
  if (isEngineError(error)) return { error: { ...error.details, code: error.code, message: error.message } };
  return { error: { code: "INTERNAL", message: error instanceof Error ? error.message : String(error) } };
}

/** One line for people: speed and memory. */
export function summary(result: GenerateResult | ScoreResult): string {
  const made = "output" in result ? `${result.output.ids.length} new tokens (${result.output.finishReason})` : scoreLine(result);
  return [`prompt ${result.prompt.tokens} tokens`, made, speed(result.timings), memory(result.kv)].join(" · ");
}

function scoreJson({ from, tokens, meanKl, top1Agreement }: ScoreResult) {
  return {
    from,
    logprobs: tokens.map((token) => token.logprob),
    fullLogprobs: tokens.map((token) => token.fullLogprob),
    kl: tokens.map((token) => token.kl),
    top1: tokens.map((token) => token.top1),
    meanKl,
    top1Agreement,
  };
}

function scoreLine({ tokens, meanKl, top1Agreement }: ScoreResult): string {
  return `${tokens.length} forced tokens: mean KL ${meanKl.toPrecision(3)} nats, same first token ${(100 * top1Agreement).toFixed(1)} %`;
}

function speed({ prefillMs, prefillTokensPerSecond, decodeTokensPerSecond }: Timings): string {
  return `prefill ${(prefillMs / 1000).toFixed(1)} s (${prefillTokensPerSecond.toFixed(1)}/s), decode ${decodeTokensPerSecond.toFixed(1)}/s`;
}

function memory({ bytes, fullBytes, slotsKept, slotsEvicted }: KvReport): string {
  const share = fullBytes > 0 ? `${((100 * bytes) / fullBytes).toFixed(1)} %` : "none";
  return `cache ${(bytes / 1e6).toFixed(2)} MB (${share} of ${(fullBytes / 1e6).toFixed(2)} MB at 16 bits), ${slotsKept} slots kept, ${slotsEvicted} evicted`;
}

// generate: one prompt in, tokens out, as they come: a turn over a sequence of its own.

import type { GenerateEvent, GenerateRequest } from "../engine-types";
import { Sequence } from "../model/sequence";
import { checkFrom, encodePrompt, type Runtime } from "./runtime";
import { checkTurn, runTurn } from "./turn";

/** Answers one prompt. Leaving the loop early, or the signal, ends it within one chunk or token; everything is freed then. */
export async function* generate(runtime: Runtime, request: GenerateRequest): AsyncGenerator<GenerateEvent, void, undefined> {
  const options = checkTurn(request);
  const promptIds = encodePrompt(runtime, request.prompt);
  const from = checkFrom(request.from ?? promptIds.length, 1, promptIds.length);
  const maxTokens = Math.min(options.maxTokens, runtime.context - promptIds.length);
  const sequence = new Sequence(runtime.transformer, request, promptIds.length + maxTokens, from);
  try {
    yield* runTurn(runtime, sequence, { ids: [...promptIds], promptIds, from, capacity: runtime.context }, { ...options, maxTokens });
  } finally {
    await sequence.dispose();
  }
}

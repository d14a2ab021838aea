// scripted-engine: an Engine that plays back given pieces of text and records what it was asked. For tests of shapes only.

import type { Engine, FinishReason, GenerateEvent, GenerateRequest, GenerateResult } from "../../../src/engine-types";
import { EngineError } from "../../../src/errors";

export interface Script {
  readonly pieces: readonly string[];
  readonly finishReason: FinishReason;
  /** Throw this instead of finishing. */
  readonly error?: EngineError;
}

export interface Recorded {
  readonly engine: Engine;
  readonly requests: GenerateRequest[];
  /** Generators that ended, in whatever way. */
  numEnded: number;
}

export function scriptedEngine(script: Script): Recorded {
  const model = { name: "scripted", architecture: "none", sha256: "0".repeat(64), layers: 2, kvHeads: 1, headSize: 4, context: 64, bytes: 10 };
  const notAsked = () => Promise.reject(new EngineError("INTERNAL", "Chat completions only generate."));
  const engine: Engine = {
    info: { model, adapter: { description: "none", features: [], software: true }, loadMs: 1 },
    generate: (request) => play(script, request, recorded),
    score: () => {
      throw new EngineError("INTERNAL", "Chat completions only generate.");
    },
    open: notAsked,
    tokenize: notAsked,
    detokenize: notAsked,
    memory: notAsked,
    dispose: notAsked,
  };
  const recorded: Recorded = { engine, requests: [], numEnded: 0 };
  return recorded;
}

async function* play(script: Script, request: GenerateRequest, recorded: Recorded): AsyncGenerator<GenerateEvent> {
  recorded.requests.push(request);
  try {
    yield { kind: "prefilled", promptIds: [1, 2, 3], prefillMs: 3, kvBytes: 100 };
    for (const [i, text] of script.pieces.entries()) {
      if (request.signal?.aborted) throw new EngineError("ABORTED", "Stopped.");
      yield { kind: "tokens", ids: [10 + i], text, count: i + 1, kvBytes: 100, fullBytes: 400, elapsedMs: i };
    }
    if (script.error !== undefined) throw script.error;
    yield { kind: "done", result: resultOf(script) };
  } finally {
    recorded.numEnded++;
  }
}

function resultOf({ pieces, finishReason }: Script): GenerateResult {
  return {
    prompt: { tokens: 3, ids: [1, 2, 3] },
    output: { text: pieces.join(""), ids: pieces.map((_, i) => 10 + i), finishReason },
    kv: { bytes: 100, fullBytes: 400, peakBytes: 120, bytesByFormat: { k4v4: 60, ring: 40 }, bytesReadPerToken: 90, slotsKept: 6, slotsEvicted: 2 },
    timings: { prefillMs: 3, decodeMs: 4, prefillTokensPerSecond: 5, decodeTokensPerSecond: 6 },
    perToken: { dispatches: 7, submits: 1, objectsCreated: 0 },
  };
}

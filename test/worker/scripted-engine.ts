// scripted-engine: an Engine that does what a script says, to test the boundary without a GPU. Counts what reaches it.

import type {
  Engine,
  EngineInfo,
  GenerateEvent,
  GenerateRequest,
  GenerateResult,
  LoadRequest,
  ScoredToken,
  Session,
  SessionMark,
} from "../../src/engine-types";
import { EngineError } from "../../src/errors";

export const INFO: EngineInfo = {
  model: { name: "scripted", architecture: "none", sha256: "0".repeat(64), layers: 2, kvHeads: 1, headSize: 4, context: 64, bytes: 10 },
  adapter: { description: "no adapter", features: [], software: true },
  loadMs: 1,
};

/** Sees every request; lives on the far side of the boundary. */
export interface Seen {
  loads: LoadRequest[];
  requests: GenerateRequest[];
  /** Tokens the generator produced, whether or not anyone read them. */
  produced: number;
  /** How often a generator was left (end, abort, error or return). */
  ended: number;
  disposed: number;
  sessionsDisposed: number;
}

export function createSeen(): Seen {
  return { loads: [], requests: [], produced: 0, ended: 0, disposed: 0, sessionsDisposed: 0 };
}

/** Loads with three progress steps; a model named "missing" is unknown. */
export async function loadScripted(request: LoadRequest, seen: Seen): Promise<Engine> {
  seen.loads.push(request);
  for (const done of [1, 2, 3]) {
    await tick();
    request.onProgress?.({ phase: "download", done, total: 3 });
  }
  if (request.signal?.aborted) throw new EngineError("ABORTED", "Stopped while loading. Load again.");
  if ("model" in request && request.model === "missing")
    throw new EngineError("UNKNOWN_MODEL", "Found missing, expected tiny. Choose another.", { found: "missing", expected: ["tiny"] });
  return scriptedEngine(seen);
}

function scriptedEngine(seen: Seen): Engine {
  return {
    info: INFO,
    generate: (request) => generate(request, seen),
    async *score(request) {
      const tokens: ScoredToken[] = [{ id: request.from, logprob: -1, fullLogprob: -0.5, kl: 0.25, top1: true, first: 9, fullFirst: 9 }];
      yield { kind: "scored", tokens };
      throw new EngineError("BAD_LOGITS", "Found NaN at layer 1, expected numbers. Load the model again.", { layer: 1 });
    },
    open: async (request) => scriptedSession(request.tokens, 0, seen),
    tokenize: async (prompt) => ("text" in prompt ? [...prompt.text].map((char) => char.codePointAt(0) ?? 0) : []),
    detokenize: async (ids) => ids.map((id) => String.fromCodePoint(id)),
    memory: async () => {
      throw new TypeError("not an engine error");
    },
    dispose: async () => void seen.disposed++,
  };
}

/** Counts tokens; a prompt is two of them. */
function scriptedSession(capacity: number, held: number, seen: Seen): Session {
  let tokens = held;
  let disposed = false;
  const marks = new Set<SessionMark>();
  const alive = (): void => {
    if (disposed) throw new EngineError("DISPOSED", "The session was disposed. Open another.");
  };
  return {
    async *send({ prompt, ...request }) {
      alive();
      const text = typeof prompt === "string" ? { text: prompt } : prompt;
      tokens += 2;
      for await (const event of generate({ ...request, prompt: text }, seen)) {
        if (event.kind === "tokens") tokens++;
        yield event;
      }
    },
    async fork() {
      alive();
      return scriptedSession(capacity, tokens, seen);
    },
    async snapshot() {
      alive();
      const mark: SessionMark = { tokens, bytes: 10, dispose: async () => void marks.delete(mark) };
      marks.add(mark);
      return mark;
    },
    async restore(mark) {
      alive();
      if (!marks.has(mark)) throw new EngineError("BAD_OPTION", "Found another session's snapshot. Give one of this session's.", { field: "mark" });
      tokens = mark.tokens;
    },
    async usage() {
      alive();
      return { tokens, capacity, kvBytes: 100, fullBytes: tokens * 8, snapshotBytes: 10 * marks.size };
    },
    async limitCold(maxBytes) {
      alive();
      throw new EngineError("BAD_OPTION", "This session has no cold tier.", { field: "cold.maxBytes", found: maxBytes });
    },
    async dispose() {
      if (!disposed) seen.sessionsDisposed++;
      disposed = true;
    },
  };
}

async function* generate(request: GenerateRequest, seen: Seen): AsyncGenerator<GenerateEvent> {
  seen.requests.push(request);
  const ids: number[] = [];
  try {
    request.onProgress?.({ phase: "prefill", done: 1, total: 1 });
    yield { kind: "prefilled", promptIds: [1, 2], prefillMs: 3, kvBytes: 100 };
    while (ids.length < (request.maxTokens ?? 8) && !request.signal?.aborted) {
      await tick();
      ids.push(65 + ids.length);
      seen.produced++;
      yield {
        kind: "tokens",
        ids: ids.slice(-1),
        text: String.fromCodePoint(ids.at(-1) ?? 0),
        count: ids.length,
        kvBytes: 100,
        fullBytes: 400,
        elapsedMs: ids.length,
      };
    }
    yield { kind: "done", result: result(ids, request) };
  } finally {
    seen.ended++;
  }
}

function result(ids: readonly number[], request: GenerateRequest): GenerateResult {
  // Both arrays of the head lie in one buffer, as a readback would give them: it must cross once.
  const buffer = new ArrayBuffer(12);
  const head = { positions: new Uint32Array(buffer, 0, 2), format: new Uint8Array(buffer, 8, 2) };
  head.positions.set([0, 7]);
  head.format.set([0, 1]);
  return {
    prompt: { tokens: 2, ids: [1, 2] },
    output: { text: String.fromCodePoint(...ids), ids, finishReason: request.signal?.aborted ? "abort" : "length" },
    kv: { bytes: 100, fullBytes: 400, peakBytes: 120, bytesByFormat: { k4v4: 60, ring: 40 }, bytesReadPerToken: 90, slotsKept: 2, slotsEvicted: 0 },
    timings: { prefillMs: 3, decodeMs: 4, prefillTokensPerSecond: 5, decodeTokensPerSecond: 6 },
    perToken: { dispatches: 7, submits: 1, objectsCreated: 0 },
    ...(request.cacheMap ? { cacheMap: { tokens: 8, formats: ["k16v16", "k4v4"], layers: [{ heads: [head] }] } } : {}),
  };
}

const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

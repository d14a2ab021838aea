// remote-engine: the Engine interface on this side of the boundary, whatever carries the messages.
// Leaves to others: starting and ending the thread (client.ts).

import { type Endpoint, type Remote, wrap } from "comlink";
import type { Engine, EngineInfo, LoadRequest, Progress, RunOptions } from "../src/engine-types";
import type { EngineError } from "../src/errors";
import { type EngineHost, type Job, type Outcome, unpackError, type Wire, type WireEvent } from "./protocol";
import { remoteSession, type SessionChannel } from "./remote-session";

export interface RemoteOptions {
  /** Rejects when the other side dies; without it a call to a dead worker would wait for ever. */
  readonly died?: Promise<EngineError>;
  /** Runs once, after the engine on the other side is gone. */
  readonly onDispose?: () => void;
}

/** Loads a model at the other end of `endpoint` and returns an engine that works there. */
export async function loadOver(endpoint: Endpoint, request: LoadRequest, options: RemoteOptions = {}): Promise<Engine> {
  const channel = new Channel(wrap<EngineHost>(endpoint), options.died);
  let info: EngineInfo | undefined;
  for await (const event of channel.stream({ kind: "load", request: withoutFunctions(request) as Wire<LoadRequest> }, request)) {
    if (event.kind === "loaded") info = event.info;
  }
  if (!info) throw unpackError({ code: "INTERNAL", message: "The worker ended loading without a model. Load again.", details: {} });
  return remoteEngine(channel, info, options.onDispose);
}

function remoteEngine(channel: Channel, info: EngineInfo, onDispose: (() => void) | undefined): Engine {
  const sessions: SessionChannel = {
    call: (act) => channel.call((host) => act(host)),
    async *send(session, request) {
      for await (const event of channel.stream({ kind: "send", session, request: withoutFunctions(request) }, request))
        if (event.kind === "generate") yield event.event;
    },
  };
  return {
    info,
    async *generate(request) {
      for await (const event of channel.stream({ kind: "generate", request: withoutFunctions(request) }, request))
        if (event.kind === "generate") yield event.event;
    },
    async *score(request) {
      for await (const event of channel.stream({ kind: "score", request: withoutFunctions(request) }, request)) if (event.kind === "score") yield event.event;
    },
    open: async (request) => remoteSession(sessions, await channel.call((host) => host.openSession(request))),
    tokenize: (prompt) => channel.call((host) => host.tokenize(prompt)),
    detokenize: (ids) => channel.call((host) => host.detokenize(ids)),
    memory: () => channel.call((host) => host.memory()),
    async dispose() {
      if (channel.disposed) return;
      const gone = channel.call((host) => host.dispose());
      channel.disposed = true;
      await gone.finally(onDispose);
    },
  };
}

/** Calls and streams over one comlink proxy, every one of them raced against the worker's death. */
class Channel {
  disposed = false;
  #nextId = 1;
  readonly #died: Promise<never>;

  constructor(
    readonly host: Remote<EngineHost>,
    died: Promise<EngineError> | undefined,
  ) {
    this.#died = died ? died.then((error) => Promise.reject(error)) : new Promise(() => {});
    this.#died.catch(() => {}); // a death with nobody waiting is reported by the next call
  }

  async call<Value>(act: (host: Remote<EngineHost>) => Promise<Outcome<Value>>): Promise<Value> {
    const result = await this.#alive(act(this.host));
    if (!result.ok) throw unpackError(result.error);
    return result.value;
  }

  /** Runs a job; leaving the loop early aborts it and waits until the other side has stopped. */
  async *stream(job: Job, options: RunOptions): AsyncGenerator<WireEvent, void, undefined> {
    const id = this.#nextId++;
    this.#check();
    const abort = (): void => void this.host.abort(id);
    await this.#alive(this.host.start(id, job));
    options.signal?.addEventListener("abort", abort);
    if (options.signal?.aborted) abort();
    let ended = false;
    try {
      while (!ended) {
        const batch = await this.#alive(this.host.next(id));
        ended = batch.ended;
        yield* withoutProgress(batch.events, options.onProgress);
        if (batch.error) throw unpackError(batch.error);
      }
    } finally {
      options.signal?.removeEventListener("abort", abort);
      if (!ended && !this.disposed) await this.#alive(this.host.close(id));
    }
  }

  async #alive<Value>(answer: Promise<Value>): Promise<Value> {
    this.#check();
    return Promise.race([answer, this.#died]);
  }

  #check(): void {
    if (this.disposed) throw unpackError({ code: "DISPOSED", message: "The engine was disposed. Load it again.", details: {} });
  }
}

function* withoutProgress(events: readonly WireEvent[], onProgress: ((progress: Progress) => void) | undefined): Generator<WireEvent> {
  for (const event of events) {
    if (event.kind === "progress") onProgress?.(event.progress);
    else yield event;
  }
}

function withoutFunctions<Request extends RunOptions>(request: Request): Omit<Request, "signal" | "onProgress"> {
  const { signal: _signal, onProgress: _onProgress, ...rest } = request;
  return rest;
}

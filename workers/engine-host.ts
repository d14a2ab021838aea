// engine-host: one engine behind the protocol. Runs jobs, queues what they yield, stops them when asked.
// Leaves to others: the engine itself (passed in as `load`), the thread and its messages (engine-worker.ts).

import { transfer } from "comlink";
import type { Engine, LoadRequest, Progress } from "../src/engine-types";
import { EngineError } from "../src/errors";
import { type Batch, type EngineHost, type Job, outcome, type PlainError, packError, transferables, type WireEvent } from "./protocol";
import { createSessionHost } from "./session-host";

export type Load = (request: LoadRequest) => Promise<Engine>;

/** A host that holds at most one engine, made by `load` when the first job asks for it. */
export function createHost(load: Load): EngineHost {
  const jobs = new Map<number, RunningJob>();
  let engine: Engine | undefined;

  const ready = (): Engine => {
    if (!engine) throw new EngineError("DISPOSED", "No model is loaded in this worker. Load one first.");
    return engine;
  };

  const sessions = createSessionHost(ready);

  const run = async (job: Job, controller: AbortController, emit: (event: WireEvent) => void): Promise<void> => {
    const options = { signal: controller.signal, onProgress: (progress: Progress) => emit({ kind: "progress", progress }) };
    switch (job.kind) {
      case "load": {
        if (engine) throw new EngineError("BUSY", "This worker already holds a model. Dispose of it, or load in another worker.");
        engine = await load({ ...job.request, ...options } as LoadRequest);
        emit({ kind: "loaded", info: engine.info });
        return;
      }
      case "generate":
        for await (const event of ready().generate({ ...job.request, ...options })) emit({ kind: "generate", event });
        return;
      case "score":
        for await (const event of ready().score({ ...job.request, ...options })) emit({ kind: "score", event });
        return;
      case "send":
        for await (const event of sessions.find(job.session).send({ ...job.request, ...options })) emit({ kind: "generate", event });
        return;
      default:
        job satisfies never;
    }
  };

  return {
    start(id, job) {
      jobs.set(id, new RunningJob((controller, emit) => run(job, controller, emit)));
    },
    async next(id) {
      const job = jobs.get(id);
      if (!job) return { events: [], ended: true };
      const batch = await job.take();
      if (batch.ended) jobs.delete(id);
      return transfer(batch, transferables(batch.events));
    },
    abort(id) {
      jobs.get(id)?.controller.abort();
    },
    async close(id) {
      const job = jobs.get(id);
      jobs.delete(id);
      job?.controller.abort();
      await job?.finished;
    },
    tokenize: (prompt) => outcome(() => ready().tokenize(prompt)),
    detokenize: (ids) => outcome(() => ready().detokenize(ids)),
    memory: () => outcome(() => ready().memory()),
    ...sessions.calls,
    dispose: () =>
      outcome(async () => {
        for (const job of jobs.values()) job.controller.abort();
        await Promise.all([...jobs.values()].map((job) => job.finished));
        await engine?.dispose();
        engine = undefined;
      }),
  };
}

/** One job in flight: runs on by itself, keeps its events until they are taken. */
class RunningJob {
  readonly controller = new AbortController();
  /** Settles when the job has stopped, well or badly. Never rejects. */
  readonly finished: Promise<void>;
  #events: WireEvent[] = [];
  #ended = false;
  #error: PlainError | undefined;
  #wake: (() => void) | undefined;

  constructor(run: (controller: AbortController, emit: (event: WireEvent) => void) => Promise<void>) {
    this.finished = run(this.controller, (event) => this.#add(event))
      .catch((error: unknown) => {
        this.#error = packError(error);
      })
      .then(() => {
        this.#ended = true;
        this.#wake?.();
      });
  }

  /** Everything since the last call; waits if there is nothing yet. */
  async take(): Promise<Batch> {
    if (this.#events.length === 0 && !this.#ended) await new Promise<void>((wake) => (this.#wake = wake));
    this.#wake = undefined;
    const events = this.#events;
    this.#events = [];
    return { events, ended: this.#ended, ...(this.#ended && this.#error ? { error: this.#error } : {}) };
  }

  /** Progress only matters in its latest state, so a newer one replaces an untaken older one. */
  #add(event: WireEvent): void {
    const last = this.#events.at(-1);
    if (event.kind === "progress" && last?.kind === "progress" && last.progress.phase === event.progress.phase) this.#events.pop();
    this.#events.push(event);
    this.#wake?.();
  }
}

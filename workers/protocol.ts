// protocol: what crosses the thread boundary, and how errors and typed arrays get over it whole.
// Leaves to others: carrying it (comlink), running the engine (engine-host.ts), the caller's view (remote-engine.ts).
//
// Work that takes time is a stream: `start` queues it, `next` hands over everything that has happened since the last `next`,
// `close` aborts what is left. One round trip may carry many tokens, and a slow reader never makes the queue of messages grow.

import type {
  CacheMap,
  EngineInfo,
  GenerateEvent,
  GenerateRequest,
  LoadRequest,
  MemoryReport,
  OpenRequest,
  Progress,
  Prompt,
  ScoreEvent,
  ScoreRequest,
  SendRequest,
  SessionUsage,
} from "../src/engine-types";
import { EngineError, type ErrorCode, isEngineError } from "../src/errors";

/** A request without what cannot be cloned. Signals and progress callbacks stay with the caller. */
export type Wire<Request> = Request extends unknown ? Omit<Request, "signal" | "onProgress"> : never;

export type Job =
  | { readonly kind: "load"; readonly request: Wire<LoadRequest> }
  | { readonly kind: "generate"; readonly request: Wire<GenerateRequest> }
  | { readonly kind: "score"; readonly request: Wire<ScoreRequest> }
  /** A turn of a session; its events are those of "generate". */
  | { readonly kind: "send"; readonly session: number; readonly request: Wire<SendRequest> };

export type WireEvent =
  | { readonly kind: "progress"; readonly progress: Progress }
  | { readonly kind: "loaded"; readonly info: EngineInfo }
  | { readonly kind: "generate"; readonly event: GenerateEvent }
  | { readonly kind: "score"; readonly event: ScoreEvent };

/** What happened since the last batch. After `ended` there is nothing more; `error` says why if it ended badly. */
export interface Batch {
  readonly events: readonly WireEvent[];
  readonly ended: boolean;
  readonly error?: PlainError;
}

/** A value or an error as plain data: comlink's own way of throwing loses code and details. */
export type Outcome<Value> = { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly error: PlainError };

export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly stack?: string;
}

/** Sessions and snapshots are numbers here; what the other side holds for them ends with disposeSession, or with the engine. */
export interface SessionCalls {
  openSession(request: OpenRequest): Promise<Outcome<number>>;
  forkSession(session: number): Promise<Outcome<number>>;
  snapshotSession(session: number): Promise<Outcome<{ readonly mark: number; readonly tokens: number; readonly bytes: number }>>;
  restoreSession(session: number, mark: number): Promise<Outcome<void>>;
  disposeMark(session: number, mark: number): Promise<Outcome<void>>;
  sessionUsage(session: number): Promise<Outcome<SessionUsage>>;
  limitCold(session: number, maxBytes: number): Promise<Outcome<void>>;
  disposeSession(session: number): Promise<Outcome<void>>;
}

/** The worker's face. Every method is one message each way. `id` is the caller's own, unique per job. */
export interface EngineHost extends SessionCalls {
  start(id: number, job: Job): void;
  next(id: number): Promise<Batch>;
  /** Asks the job to stop; its last events still come through `next`. */
  abort(id: number): void;
  /** Aborts the job and waits until it has really stopped; unread events are dropped. */
  close(id: number): Promise<void>;
  tokenize(prompt: Prompt): Promise<Outcome<number[]>>;
  detokenize(ids: readonly number[]): Promise<Outcome<string[]>>;
  memory(): Promise<Outcome<MemoryReport>>;
  dispose(): Promise<Outcome<void>>;
}

/** Error to plain data. Errors that are not the engine's own become INTERNAL and keep their name. */
export function packError(error: unknown): PlainError {
  if (isEngineError(error))
    return { code: error.code, message: error.message, details: cloneable(error.details), ...(error.stack ? { stack: error.stack } : {}) };
  const cause = error instanceof Error ? error : new Error(String(error));
  return {
    code: "INTERNAL",
    message: `${cause.name}: ${cause.message}. This is a fault of the engine: please report it with the steps that led here.`,
    details: { name: cause.name, stack: cause.stack ?? "" },
    ...(cause.stack ? { stack: cause.stack } : {}),
  };
}

/** What an act returns or throws, as plain data. */
export async function outcome<Value>(act: () => Promise<Value>): Promise<Outcome<Value>> {
  try {
    return { ok: true, value: await act() };
  } catch (error) {
    return { ok: false, error: packError(error) };
  }
}

/** The inverse of packError: a true EngineError again, with the stack of the thread it came from. */
export function unpackError(plain: PlainError): EngineError {
  const error = new EngineError(plain.code, plain.message, plain.details);
  if (plain.stack) error.stack = plain.stack;
  return error;
}

/** Buffers of the cache maps in a batch, each once: they move to the other thread instead of being copied. */
export function transferables(events: readonly WireEvent[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const map of events.map(cacheMapOf)) {
    for (const head of map?.layers.flatMap((layer) => layer.heads) ?? []) {
      for (const array of [head.positions, head.format, head.guests]) if (array?.buffer instanceof ArrayBuffer) buffers.add(array.buffer);
    }
  }
  return [...buffers];
}

function cacheMapOf(event: WireEvent): CacheMap | undefined {
  if (event.kind !== "generate" && event.kind !== "score") return undefined;
  return event.event.kind === "done" ? event.event.result.cacheMap : undefined;
}

/** Details as they are if they can cross, otherwise the ones that cannot as text. */
function cloneable(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(details).map(([key, value]) => [key, canClone(value) ? value : String(value)]));
}

function canClone(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}

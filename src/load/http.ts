// http: bytes over HTTP with ranges, time limits and typed errors. The only place of src/load that calls fetch.
// Leaves to others: keeping the bytes, hashing them, trying again.

import { EngineError, throwIfAborted } from "../errors";

export interface HttpOptions {
  /** Default: the global fetch. */
  readonly fetch?: typeof fetch;
  /** How long a server may stay silent, before the answer and between pieces of it. Default 10 s and 30 s. */
  readonly connectMs?: number;
  readonly stallMs?: number;
}

export type RequestOptions = HttpOptions & { readonly signal?: AbortSignal };

/** An answer to a request for the bytes from `offset` on. `start` is 0 if the server sent the whole file instead. */
export interface RangeStream {
  readonly start: number;
  readonly total: number | undefined;
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Closes the connection; needed only if `chunks` is not iterated. */
  cancel(): void;
}

/** Opens the bytes from `offset` to the end. Throws NETWORK or ABORTED; so does iterating `chunks`. */
export async function openStream(url: string, offset: number, options: RequestOptions = {}): Promise<RangeStream> {
  const guard = new Silence(url, options.signal);
  try {
    const response = await request(url, offset > 0 ? `bytes=${offset}-` : undefined, guard, options);
    guard.pause();
    const ranged = response.status === 206;
    const length = Number(response.headers.get("content-length") ?? Number.NaN);
    // Of a compressed answer the length is that of the compressed bytes.
    const known = Number.isSafeInteger(length) && length > 0 && !response.headers.get("content-encoding");
    const start = ranged ? offset : 0;
    const total = contentRangeTotal(response) ?? (known ? start + length : undefined);
    return { start, total, chunks: readBody(response, guard, options.stallMs ?? 30_000), cancel: () => void response.body?.cancel().catch(() => undefined) };
  } catch (error) {
    guard.stop();
    throw guard.explain(error);
  }
}

/** Exactly the bytes [offset, offset + length). Throws NETWORK if the server answers with anything else. */
export async function fetchRange(url: string, offset: number, length: number, options: RequestOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  const guard = new Silence(url, options.signal);
  try {
    const response = await request(url, `bytes=${offset}-${offset + length - 1}`, guard, options);
    if (response.status !== 206) throw refusedRanges(url, response.status);
    const bytes = new Uint8Array(length);
    let filled = 0;
    for await (const chunk of readBody(response, guard, options.stallMs ?? 30_000)) {
      if (filled + chunk.length > length) throw wrongLength(url, filled + chunk.length, length);
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
    if (filled !== length) throw wrongLength(url, filled, length);
    return bytes;
  } catch (error) {
    throw guard.explain(error);
  } finally {
    guard.stop();
  }
}

/** The size of the file behind a URL that answers ranges, bytes. */
export async function rangeTotal(url: string, options: RequestOptions = {}): Promise<number> {
  const guard = new Silence(url, options.signal);
  try {
    const response = await request(url, "bytes=0-0", guard, options);
    void response.body?.cancel();
    if (response.status !== 206) throw refusedRanges(url, response.status);
    const total = contentRangeTotal(response);
    if (total !== undefined) return total;
    // Across origins Content-Range is hidden unless the server exposes it; Content-Length never is.
    const head = await request(url, undefined, guard, options, "HEAD");
    const length = Number(head.headers.get("content-length") ?? Number.NaN);
    if (Number.isSafeInteger(length) && length > 0) return length;
    throw new EngineError("NETWORK", `${url} does not tell its size. Download the file and open it from disk.`, { url });
  } catch (error) {
    throw guard.explain(error);
  } finally {
    guard.stop();
  }
}

async function request(url: string, range: string | undefined, guard: Silence, options: RequestOptions, method = "GET"): Promise<Response> {
  throwIfAborted(options.signal);
  guard.expect(options.connectMs ?? 10_000);
  const get = options.fetch ?? fetch;
  const response = await get(url, { method, signal: guard.signal, ...(range ? { headers: { Range: range } } : {}) });
  if (response.ok) return response;
  void response.body?.cancel();
  const act = response.status === 404 ? "Check the address." : "Try again later, or open the file from disk.";
  throw new EngineError("NETWORK", `${url} answered with HTTP status ${response.status} ${response.statusText}, expected 200 or 206. ${act}`, {
    url,
    status: response.status,
  });
}

async function* readBody(response: Response, guard: Silence, stallMs: number): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  try {
    while (reader) {
      guard.expect(stallMs);
      const { done, value } = await reader.read();
      if (done) break;
      guard.pause(); // the clock must not run while the caller writes to disk
      yield value;
    }
  } catch (error) {
    throw guard.explain(error);
  } finally {
    guard.stop();
    void reader?.cancel().catch(() => undefined);
  }
}

/** Aborts a request when the caller's signal fires or the server is silent for too long, and tells the two apart. */
class Silence {
  readonly #controller = new AbortController();
  readonly #onAbort = (): void => this.#controller.abort();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #silentMs: number | undefined;

  constructor(
    private readonly url: string,
    private readonly caller: AbortSignal | undefined,
  ) {
    caller?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts the clock again: something must arrive within `ms`. */
  expect(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#silentMs = ms;
      this.#controller.abort();
    }, ms);
  }

  pause(): void {
    clearTimeout(this.#timer);
  }

  stop(): void {
    this.pause();
    this.caller?.removeEventListener("abort", this.#onAbort);
  }

  /** The error to throw for whatever fetch threw. */
  explain(error: unknown): EngineError {
    if (error instanceof EngineError) return error;
    if (this.caller?.aborted) return new EngineError("ABORTED", `Reading ${this.url} was aborted by its signal. Call again to go on.`, { url: this.url });
    const why = this.#silentMs === undefined ? reason(error) : `nothing arrived for ${this.#silentMs / 1000} s`;
    return new EngineError("NETWORK", `${this.url} could not be read: ${why}. Check the connection and try again.`, { url: this.url }, { cause: error });
  }
}

/** Node's fetch says only "fetch failed"; the reason is its cause. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || String((error.cause as { code?: unknown }).code) : error.message;
}

function contentRangeTotal(response: Response): number | undefined {
  const total = /\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1];
  return total === undefined ? undefined : Number(total);
}

function refusedRanges(url: string, status: number): EngineError {
  return new EngineError(
    "NETWORK",
    `${url} ignores HTTP ranges (status ${status}, expected 206), so it cannot be read piece by piece. Download the file and open it from disk.`,
    { url, status },
  );
}

function wrongLength(url: string, found: number, expected: number): EngineError {
  return new EngineError("NETWORK", `${url} sent ${found} bytes, ${expected} were asked for. Try again.`, { url, found, expected });
}

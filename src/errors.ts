// errors: the one error class of the engine, its codes, and guards that survive a worker boundary.
// Leaves to others: deciding when something is wrong.

/** Every way the engine fails. The code is stable; the message is for people. */
export type ErrorCode =
  | "NO_WEBGPU" // navigator.gpu is missing, or the page is not a secure context
  | "NO_ADAPTER" // requestAdapter() gave null
  | "ADAPTER_LIMITS" // the adapter offers less than the engine needs
  | "DEVICE_LOST"
  | "OUT_OF_MEMORY"
  | "SHADER" // a shader did not compile or a pipeline could not be made
  | "NOT_GGUF"
  | "NOT_CALIBRATION" // another kind of file, or another version
  | "TRUNCATED"
  | "HASH_MISMATCH"
  | "UNSUPPORTED_ARCHITECTURE"
  | "UNSUPPORTED_TENSOR"
  | "BAD_TENSOR" // a tensor's size or shape disagrees with the header
  | "MISSING_METADATA"
  | "UNKNOWN_MODEL"
  | "NETWORK"
  | "STORAGE" // disk full, quota reached, storage denied
  | "BAD_OPTION" // an argument outside what is allowed
  | "CONTEXT_FULL" // the prompt does not fit the context
  | "BUDGET_TOO_SMALL"
  | "PAGES_EXHAUSTED"
  | "BAD_LOGITS" // NaN or infinity came out of the model
  | "BUSY" // the session is already generating
  | "ABORTED"
  | "DISPOSED"
  | "INTERNAL";

/**
 * The only error the engine throws on purpose. `message` says what was found, what was expected and the next act;
 * `details` holds the same facts for machines. Plain data, so that it can cross a worker boundary.
 */
export class EngineError extends Error {
  override readonly name = "EngineError";
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** True for an EngineError, also for one whose prototype was lost on its way out of a worker. */
export function isEngineError(error: unknown): error is EngineError {
  return error instanceof Error && error.name === "EngineError" && typeof (error as { code?: unknown }).code === "string";
}

/** Throws ABORTED if the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new EngineError("ABORTED", "The operation was aborted by its signal. Call again to start over.");
}

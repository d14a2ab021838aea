// errors: whatever was thrown, as something the page can show.

import { EngineError, isEngineError } from "../../src/errors";

export function shownError(error: unknown): EngineError {
  if (isEngineError(error)) return error;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new EngineError("INTERNAL", `${message}. Reload the page; if it happens again, please report it.`);
}

export function isAbort(error: unknown): boolean {
  return isEngineError(error) && error.code === "ABORTED";
}

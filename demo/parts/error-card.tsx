// error-card: an EngineError for people. The message already says what was found, what was expected and what to do next.

import type { EngineError } from "../../src/errors";

interface ErrorCardProps {
  readonly title: string;
  readonly error: EngineError;
  /** Does again what failed, where that may help. */
  readonly onRetry?: (() => void) | undefined;
  readonly onDismiss?: () => void;
}

export function ErrorCard({ title, error, onRetry, onDismiss }: ErrorCardProps) {
  const details = Object.entries(error.details);
  return (
    <section class="error-card" role="alert">
      <h3>
        {title} <code class="error-code">{error.code}</code>
      </h3>
      <p>{error.message}</p>
      {details.length > 0 && (
        <details>
          <summary>Details</summary>
          <dl>
            {details.map(([key, value]) => (
              <div key={key}>
                <dt>{key}</dt>
                <dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
      {(onRetry || onDismiss) && (
        <p class="error-acts">
          {onRetry && (
            <button type="button" onClick={onRetry}>
              {error.code === "DEVICE_LOST" ? "Load it again" : "Try again"}
            </button>
          )}
          {onDismiss && (
            <button type="button" class="quiet" onClick={onDismiss}>
              Dismiss
            </button>
          )}
        </p>
      )}
    </section>
  );
}

// error-card: an EngineError for people. The message already says what was found, what was expected and what to do next.

import type { EngineError } from "../../src/errors";

export function ErrorCard({ title, error, onDismiss }: { title: string; error: EngineError; onDismiss?: () => void }) {
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
      {onDismiss && (
        <button type="button" class="quiet" onClick={onDismiss}>
          Dismiss
        </button>
      )}
    </section>
  );
}

// drift-strip: one cell per token of B. Height says how far the two caches' predictions lie apart, a cross that they prefer
// different tokens. Shape carries everything, so the strip survives greyscale.

import { signal } from "@preact/signals";
import type { ScoredToken } from "../../src/engine-types";
import { formatNats, formatPercent, visibleToken } from "../format";
import { ErrorCard } from "../parts/error-card";
import { type Drift, type DriftSummary, summarize } from "../state/lanes";

/** The token under the pointer or the keyboard, in the strip and in the text. */
export const pointedToken = signal<number | undefined>(undefined);

export function DriftStrip({ drift, pieces }: { drift: Drift | undefined; pieces: readonly string[] }) {
  if (!drift) return null;
  const { tokens } = drift;
  const summary = summarize(tokens);
  const at = pointedToken.value;
  const pointed = at === undefined ? undefined : tokens[at];
  return (
    <figure class="drift" data-status={drift.status} aria-busy={drift.status === "running"}>
      <figcaption>
        <strong>Drift</strong> <span class="muted">B's tokens forced through both caches</span>
      </figcaption>
      <div
        class="strip"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: one stop for the whole strip; arrow keys move inside
        tabIndex={0}
        aria-label="Drift per token. Arrow keys move, N and P jump between disagreements."
        onKeyDown={(event) => moveBy(event, tokens)}
        onPointerLeave={() => (pointedToken.value = undefined)}
      >
        {tokens.map((token, i) => (
          <Cell key={i} token={token} index={i} pointed={i === at} />
        ))}
      </div>
      <p class="readout figures" aria-live="polite">
        {pointed && at !== undefined ? readout(pointed, at, pieces, drift.preferred) : (summary ? "" : "…") || <Key />}
      </p>
      {summary && <Summary summary={summary} />}
      {drift.error && <ErrorCard title="The drift could not be measured." error={drift.error} />}
    </figure>
  );
}

function Cell({ token, index, pointed }: { token: ScoredToken; index: number; pointed: boolean }) {
  const classes = `cell step-${driftStep(token.kl)}${token.top1 ? "" : " cross"}${pointed ? " pointed" : ""}`;
  return <span class={classes} onPointerEnter={() => (pointedToken.value = index)} />;
}

/** Four logarithmic steps: below 0.01, 0.1 and 1 nat, and from there on. */
export function driftStep(kl: number): 0 | 1 | 2 | 3 {
  if (kl < 0.01) return 0;
  if (kl < 0.1) return 1;
  return kl < 1 ? 2 : 3;
}

function Key() {
  return (
    <span class="key muted">
      <i class="cell step-0" /> &lt; 0.01 <i class="cell step-1" /> &lt; 0.1 <i class="cell step-2" /> &lt; 1 <i class="cell step-3" /> ≥ 1 nat{" "}
      <i class="cell step-1 cross" /> other token first
    </span>
  );
}

function readout(token: ScoredToken, at: number, pieces: readonly string[], preferred: Drift["preferred"]): string {
  const text = visibleToken(pieces[at] ?? "");
  const said = `Token ${at + 1} “${text}”: KL ${formatNats(token.kl)}; log-probability ${token.logprob.toFixed(3)} compressed, ${token.fullLogprob.toFixed(3)} full`;
  if (token.top1) return said;
  const name = (id: number): string => `“${visibleToken(preferred.get(id) ?? `token id ${id}`)}”`;
  return `${said}. The full cache prefers ${name(token.fullFirst)}, the compressed one ${name(token.first)}`;
}

function Summary({ summary }: { summary: DriftSummary }) {
  return (
    <p class="summary figures" data-same={summary.same} data-count={summary.count} data-mean-kl={summary.meanKl}>
      Same next token <b>{formatPercent(summary.same / summary.count)}</b> ({summary.same}/{summary.count}) · mean KL <b>{formatNats(summary.meanKl)}</b> nats ·
      worst {formatNats(summary.worst)}{" "}
      <button type="button" class="quiet" onClick={() => (pointedToken.value = summary.worstAt)}>
        at token {summary.worstAt + 1}
      </button>
    </p>
  );
}

function moveBy(event: KeyboardEvent, tokens: readonly ScoredToken[]): void {
  const at = pointedToken.value ?? -1;
  const target = destination(event.key, at, tokens);
  if (target === undefined) return;
  event.preventDefault();
  pointedToken.value = Math.min(tokens.length - 1, Math.max(0, target));
}

function destination(key: string, at: number, tokens: readonly ScoredToken[]): number | undefined {
  switch (key) {
    case "ArrowRight":
      return at + 1;
    case "ArrowLeft":
      return at - 1;
    case "Home":
      return 0;
    case "End":
      return tokens.length - 1;
    case "n": {
      const next = tokens.findIndex((token, i) => i > at && !token.top1);
      return next < 0 ? undefined : next;
    }
    case "p": {
      const before = tokens.findLastIndex((token, i) => i < at && !token.top1);
      return before < 0 ? undefined : before;
    }
    default:
      return undefined;
  }
}

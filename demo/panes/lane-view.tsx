// lane-view: one pane. Text as token spans (the drift strip needs their boundaries), figures above, state in words.

import type { ReadonlySignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ErrorCard } from "../parts/error-card";
import type { Lane } from "../state/lanes";
import { DriftStrip, pointedToken } from "./drift-strip";
import { LaneFigures } from "./figures";

interface LaneViewProps {
  readonly id: "a" | "b";
  readonly title: string;
  readonly subtitle: string;
  readonly lane: ReadonlySignal<Lane>;
  /** Where this pane's text leaves the other's, if it does. */
  readonly splitAt: number | undefined;
}

export function LaneView({ id, title, subtitle, lane, splitAt }: LaneViewProps) {
  const now = lane.value;
  const busy = now.status === "reading" || now.status === "writing";
  return (
    <section class={`card lane lane-${id}`} id={`lane-${id}`} aria-labelledby={`lane-${id}-title`} data-status={now.status}>
      <header>
        <h2 id={`lane-${id}-title`}>
          <span class="lane-letter">{id.toUpperCase()}</span> {title}
        </h2>
        <p class="muted">{subtitle}</p>
      </header>
      <LaneFigures lane={now} />
      <LaneText id={id} lane={now} busy={busy} splitAt={splitAt} />
      {now.error && <ErrorCard title="This pane stopped." error={now.error} />}
      {id === "b" && <DriftStrip drift={now.drift} pieces={now.pieces} />}
    </section>
  );
}

function LaneText({ id, lane, busy, splitAt }: { id: string; lane: Lane; busy: boolean; splitAt: number | undefined }) {
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    const element = box.current;
    // Follow the text only for readers who are at its end already.
    if (element && busy && element.scrollHeight - element.scrollTop - element.clientHeight < 120) element.scrollTop = element.scrollHeight;
  }, [lane.pieces.length, busy]);
  const scored = lane.drift?.tokens ?? [];
  const endAt = endToken(lane);
  return (
    <section
      class="lane-text"
      id={`text-${id}`}
      ref={box}
      aria-busy={busy}
      aria-label="Answer"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
      tabIndex={0}
    >
      {lane.pieces.length === 0 && <p class="muted placeholder">{placeholder(lane)}</p>}
      {lane.pieces.map((piece, i) => (
        <span
          key={`${i}:${piece}`}
          class={
            [scored[i]?.top1 === false ? "differs" : "", splitAt === i ? "split" : "", id === "b" && pointedToken.value === i ? "pointed" : ""]
              .join(" ")
              .trim() || undefined
          }
          onPointerEnter={id === "b" && scored.length > 0 ? () => (pointedToken.value = i) : undefined}
        >
          {i === endAt ? <i class="end-token">end</i> : i === 0 ? piece.trimStart() : piece}
        </span>
      ))}
      {busy && lane.pieces.length > 0 && <span class="caret" aria-hidden="true" />}
      {lane.status === "stopped" && <span class="muted"> (stopped)</span>}
      {lane.result?.output.finishReason === "context" && <span class="muted"> (the context is full)</span>}
    </section>
  );
}

/** Index of the token that ended the answer: one of the ids, but not a part of the text. */
function endToken({ pieces, ids, result }: Lane): number | undefined {
  if (result?.output.finishReason !== "stop" || pieces.length !== ids.length) return undefined;
  return pieces.slice(0, -1).join("") === result.output.text ? pieces.length - 1 : undefined;
}

function placeholder(lane: Lane): string {
  switch (lane.status) {
    case "idle":
      return "The answer will appear here.";
    case "waiting":
      return "Waits for its turn.";
    case "reading":
      return lane.prefill ? `Reads the prompt: ${Math.round((100 * lane.prefill.done) / lane.prefill.total)} %` : "Reads the prompt…";
    case "writing":
      return "Writes the first token…";
    case "stopped":
      return "";
    case "failed":
      return "";
    case "done":
      return "The model ended its answer at once.";
    default:
      return lane.status satisfies never;
  }
}

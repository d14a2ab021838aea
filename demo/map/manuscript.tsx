// manuscript: the prompt and the answer as the cache holds them. A token that every head dropped leaves a gap, a lacuna; the
// others carry a line in the colour of their bits, dotted where some heads dropped them; what was brought back stands between two lines.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { pinned } from "./cache-map";
import { bitColour, bitStep, type Part, recalledIn, type Slots, tokenShare } from "./slots";

interface ManuscriptProps {
  readonly slots: Slots;
  readonly part: Part;
  readonly texts: readonly string[];
}

export function Manuscript({ slots, part, texts }: ManuscriptProps) {
  const showLost = useSignal(false);
  const box = useRef<HTMLElement>(null);
  const shares = useMemo(
    () => Array.from({ length: Math.min(slots.tokens, texts.length) }, (_, token) => tokenShare(slots, part, token)),
    [slots, part, texts],
  );
  const range = pinned.value;
  useEffect(() => {
    const first = range && box.current?.children[range[0]];
    if (first instanceof HTMLElement && box.current) box.current.scrollTop = first.offsetTop - box.current.clientHeight / 2;
  }, [range]);
  // Nothing pinned: what came back is what a reader looks for. The words arrive a moment after the map.
  useEffect(() => {
    const first = box.current?.children[slots.recalled.indexOf(1)];
    if (first instanceof HTMLElement && box.current && !pinned.value) box.current.scrollTop = first.offsetTop - box.current.clientHeight / 3;
  }, [slots, shares.length]);
  const gone = shares.filter((share) => share.kept === 0).length;
  const back = recalledIn(slots, 0, shares.length);
  return (
    <div class="manuscript-block">
      <p class="manuscript-head">
        <strong>The text, as this cache holds it</strong>{" "}
        <span class="muted">{gone === 0 ? "no token is gone from every head" : `${gone} of ${shares.length} tokens are gone from every head`}</span>
        {back > 0 && (
          <span class="muted" id="recalled-note" data-tokens={back}>
            <i class="swatch recalled-swatch" /> {back} were brought back
          </span>
        )}
        {gone > 0 && (
          <label class="inline">
            <input type="checkbox" checked={showLost.value} onChange={(event) => (showLost.value = event.currentTarget.checked)} /> show the lost words
          </label>
        )}
      </p>
      <section
        class={`manuscript${showLost.value ? " show-lost" : ""}`}
        ref={box}
        aria-label="Text as the cache holds it"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
        tabIndex={0}
      >
        {shares.map((share, token) => {
          const classes = [
            share.kept === 0 ? "gone" : "",
            share.kept > 0 && share.kept < share.total ? "partly" : "",
            slots.recalled[token] ? "recalled" : "",
            range && token >= range[0] && token < range[1] ? "pinned" : "",
          ];
          const lost = share.total - share.kept;
          const held = lost > 0 ? `gone in ${lost} of ${share.total} heads` : "kept in every head";
          return (
            <span
              key={token}
              class={classes.join(" ").trim() || undefined}
              style={share.kept > 0 ? { "--line": bitColour(bitStep(share.bits)) } : undefined}
              title={`token ${token}: ${held}${slots.recalled[token] ? ", brought back" : ""}`}
            >
              {texts[token]}
            </span>
          );
        })}
      </section>
    </div>
  );
}

// cache-map: what the cache still holds, layer by position. The canvas is for the eye; the overlay above it takes pointer and
// keyboard, and the readout says the same in words.

import { computed, signal, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { formatCount, formatPercent } from "../format";
import { theme } from "../parts/header";
import { laneA, laneB, words } from "../state/run";
import { Manuscript } from "./manuscript";
import { MapTable } from "./map-table";
import { type Cell, type Geometry, geometry, type Palette, paint, RECALLED, ROW_GAP } from "./paint";
import { RecalledStrip } from "./recalled-strip";
import { BIT_STEPS, bitColour, type Part, readSlots, recalledIn, type Slots, shareOf } from "./slots";

const shownLane = signal<"a" | "b">("b");
const part = signal<Part>("key");
const opened = signal<ReadonlySet<number>>(new Set());
const asTable = signal(false);
const pointed = signal<Cell | undefined>(undefined);
/** Token range whose words the manuscript shows outlined. */
export const pinned = signal<readonly [number, number] | undefined>(undefined);

const map = computed(() => (shownLane.value === "a" ? laneA.value : laneB.value).result?.cacheMap);
const hasMap = computed(() => Boolean(laneA.value.result?.cacheMap ?? laneB.value.result?.cacheMap));
const slots = computed(() => map.value && readSlots(map.value));

export function CacheMapCard() {
  if (!hasMap.value) return null;
  const now = slots.value;
  return (
    <section class="card map-card" aria-labelledby="map-title">
      <header class="map-head">
        <h2 id="map-title">What the cache still holds</h2>
        <MapControls />
      </header>
      {now ? <MapBody slots={now} /> : <p class="muted">This pane has no finished run yet.</p>}
    </section>
  );
}

function MapControls() {
  const all = slots.value && opened.value.size === slots.value.layers;
  const toggleAll = (): void => {
    opened.value = all ? new Set() : new Set(Array.from({ length: slots.value?.layers ?? 0 }, (_, layer) => layer));
  };
  return (
    <div class="map-controls">
      <label class="inline">
        Pane{" "}
        <select value={shownLane.value} onChange={(event) => (shownLane.value = event.currentTarget.value as "a" | "b")}>
          <option value="b">B, compressed</option>
          <option value="a">A, full</option>
        </select>
      </label>
      <label class="inline">
        Bits of{" "}
        <select value={part.value} onChange={(event) => (part.value = event.currentTarget.value as Part)}>
          <option value="key">keys</option>
          <option value="value">values</option>
        </select>
      </label>
      <button type="button" aria-pressed={Boolean(all)} onClick={toggleAll}>
        All heads
      </button>
      <button type="button" id="map-as-table" aria-pressed={asTable.value} onClick={() => (asTable.value = !asTable.value)}>
        Show as table
      </button>
    </div>
  );
}

function MapBody({ slots: now }: { slots: Slots }) {
  const texts = shownLane.value === "a" ? words.value.a : words.value.b;
  return (
    <>
      {asTable.value ? <MapTable slots={now} /> : <MapFigure slots={now} texts={texts} />}
      <Manuscript slots={now} part={part.value} texts={texts} />
    </>
  );
}

function MapFigure({ slots: now, texts }: { slots: Slots; texts: readonly string[] }) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useSignal(0);
  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => (width.value = Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const shape = useMemo(() => geometry(now, opened.value, Math.max(200, width.value)), [now, opened.value, width.value]);
  const back = recalledIn(now, 0, now.tokens);
  return (
    <figure class="map">
      <div class="map-grid">
        <RowLabels shape={shape} back={back > 0} />
        <div class="map-frame" ref={frame}>
          {width.value > 0 && <Surface slots={now} shape={shape} texts={texts} />}
          {back > 0 && <RecalledStrip slots={now} shape={shape} texts={texts} onPick={(run) => (pinned.value = run)} />}
          <div class="axis figures muted" style={{ width: `${shape.width}px` }} aria-hidden="true">
            <span>0</span>
            <span>position</span>
            <span>{formatCount(now.tokens - 1)}</span>
          </div>
        </div>
      </div>
      <Legend perColumn={shape.perColumn} back={back} marked={now.markers.some((spans) => spans.length > 0)} />
      <p class="readout figures" role="status" aria-live="polite" id="map-readout">
        {describe(now, shape, pointed.value, texts) ?? sentence(now)}
      </p>
    </figure>
  );
}

function RowLabels({ shape, back }: { shape: Geometry; back: boolean }) {
  const toggle = (layer: number): void => {
    const next = new Set(opened.value);
    if (!next.delete(layer)) next.add(layer);
    opened.value = next;
  };
  return (
    <div class="map-labels figures" style={{ "--row": `${shape.rowHeight + ROW_GAP}px` }}>
      {shape.rows.map(({ layer, head }) =>
        head === undefined ? (
          <button key={layer} type="button" aria-expanded={opened.value.has(layer)} aria-label={`Layer ${layer}, heads`} onClick={() => toggle(layer)}>
            {opened.value.has(layer) ? "▾" : "▸"} {layer}
          </button>
        ) : (
          <span key={`${layer}.${head}`}>h{head}</span>
        ),
      )}
      {back && <span>back</span>}
    </div>
  );
}

function Surface({ slots: now, shape, texts }: { slots: Slots; shape: Geometry; texts: readonly string[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const dark = useSignal(false);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const change = (): void => void (dark.value = query.matches);
    change();
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, []);
  useLayoutEffect(() => {
    if (canvas.current) paint(canvas.current, now, part.value, shape, readPalette(canvas.current));
  }, [now, shape, part.value, theme.value, dark.value]);
  const at = pointed.value;
  return (
    <div class="map-surface" style={{ width: `${shape.width}px`, height: `${shape.height}px` }}>
      <canvas ref={canvas} />
      <Swatches />
      {at && <Crosshair at={at} shape={shape} />}
      <div
        class="map-overlay"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a canvas has no cells to focus; this element is their keyboard
        tabIndex={0}
        aria-label="Cache map. Arrow keys move by cell, Page Up and Page Down by layer, Enter shows the words."
        aria-describedby="map-readout"
        onPointerMove={(event) => (pointed.value = cellAt(event, shape))}
        onPointerLeave={() => (pointed.value = undefined)}
        onClick={(event) => pin(cellAt(event, shape), shape, texts)}
        onKeyDown={(event) => onKey(event, shape, texts)}
      />
    </div>
  );
}

function Crosshair({ at, shape }: { at: Cell; shape: Geometry }) {
  const width = Math.max(3, shape.columnWidth);
  return (
    <>
      <i class="cross-column" style={{ insetInlineStart: `${at.column * shape.columnWidth + (shape.columnWidth - width) / 2}px`, width: `${width}px` }} />
      <i class="cross-row" style={{ insetBlockStart: `${at.row * (shape.rowHeight + ROW_GAP)}px`, height: `${shape.rowHeight}px` }} />
    </>
  );
}

/** Colours for the canvas come from the style sheet: computed values know the theme, custom properties do not. */
function Swatches() {
  return (
    <span class="palette" aria-hidden="true">
      {([...BIT_STEPS, 0] as const).map((bits) => (
        <i key={bits} data-bits={bits} class="swatch" style={{ background: bitColour(bits) }} />
      ))}
      <i data-bits={RECALLED} class="swatch" style={{ background: "var(--recalled)" }} />
    </span>
  );
}

function readPalette(canvas: HTMLCanvasElement): Palette {
  const swatches = canvas.parentElement?.querySelectorAll<HTMLElement>("[data-bits]") ?? [];
  const key = (bits: string | undefined): number | typeof RECALLED => (bits === RECALLED ? RECALLED : Number(bits));
  return new Map([...swatches].map((swatch) => [key(swatch.dataset.bits), getComputedStyle(swatch).backgroundColor]));
}

function Legend({ perColumn, back, marked }: { perColumn: number; back: number; marked: boolean }) {
  const unit = perColumn === 1 ? "a column is one token" : `a column is ${perColumn} tokens; height is the share of its slots that is kept`;
  return (
    <figcaption class="key muted">
      {BIT_STEPS.map((bits) => (
        <span key={bits}>
          <i class="swatch" style={{ background: bitColour(bits) }} /> {bits}{" "}
        </span>
      ))}
      bits · empty: evicted
      {back > 0 && (
        <span id="recalled-key">
          {" "}
          · <i class="swatch recalled-swatch cell-swatch" /> brought back, bracketed below the map
        </span>
      )}
      {marked && " · a tick under a head: a marker, from there on"} · {unit}
    </figcaption>
  );
}

function cellAt(event: MouseEvent, shape: Geometry): Cell {
  const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
  const clamp = (value: number, count: number): number => Math.min(count - 1, Math.max(0, value));
  return {
    row: clamp(Math.floor((event.clientY - box.top) / (shape.rowHeight + ROW_GAP)), shape.rows.length),
    column: clamp(Math.floor((event.clientX - box.left) / shape.columnWidth), shape.columns),
  };
}

function onKey(event: KeyboardEvent, shape: Geometry, texts: readonly string[]): void {
  const at = pointed.value ?? { row: 0, column: 0 };
  const layerStep = (step: number): number => {
    const layer = (shape.rows[at.row]?.layer ?? 0) + step;
    const row = shape.rows.findIndex((candidate) => candidate.layer === layer && candidate.head === undefined);
    return row < 0 ? at.row : row;
  };
  const moves: Record<string, () => Cell> = {
    ArrowLeft: () => ({ ...at, column: Math.max(0, at.column - 1) }),
    ArrowRight: () => ({ ...at, column: Math.min(shape.columns - 1, at.column + 1) }),
    ArrowUp: () => ({ ...at, row: Math.max(0, at.row - 1) }),
    ArrowDown: () => ({ ...at, row: Math.min(shape.rows.length - 1, at.row + 1) }),
    PageUp: () => ({ ...at, row: layerStep(-1) }),
    PageDown: () => ({ ...at, row: layerStep(1) }),
    Home: () => ({ ...at, column: 0 }),
    End: () => ({ ...at, column: shape.columns - 1 }),
  };
  const move = moves[event.key];
  if (event.key === "Enter") pin(at, shape, texts);
  else if (!move) return;
  else pointed.value = move();
  event.preventDefault();
}

function pin({ column }: Cell, shape: Geometry, texts: readonly string[]): void {
  const start = column * shape.perColumn;
  pinned.value = [start, Math.min(texts.length, start + shape.perColumn)];
}

function describe(now: Slots, shape: Geometry, at: Cell | undefined, texts: readonly string[]): string | undefined {
  const row = at && shape.rows[at.row];
  if (!at || !row) return undefined;
  const start = at.column * shape.perColumn;
  const end = Math.min(now.tokens, start + shape.perColumn);
  const share = shareOf(now, part.value, row.layer, row.head, start, end);
  const where = `Layer ${row.layer}${row.head === undefined ? "" : `, head ${row.head}`}, ${end - start === 1 ? `token ${start}` : `tokens ${start} to ${end - 1}`}`;
  const held = share.kept === 0 ? "evicted" : `${share.kept} of ${share.total} slots kept, ${part.value}s in ${Number(share.bits.toFixed(1))} bits`;
  const back = recalledIn(now, start, end);
  const brought = back === 0 ? "" : end - start === 1 ? ", brought back" : `, ${back} of ${end - start} tokens brought back`;
  return `${where}: ${held}${brought}${markedBy(now, row, start)}. “${texts.slice(start, end).join("").trim()}”`;
}

/** Of a head's row: the marker that stands for what was dropped around a position. */
function markedBy(now: Slots, { layer, head }: { layer: number; head: number | undefined }, position: number): string {
  const spans = head === undefined ? [] : (now.markers[layer * now.heads + head] ?? []);
  const span = spans.find(({ first, end }) => first <= position && position < end);
  return span ? `; a marker stands for ${span.count} evicted tokens from ${span.first} to ${span.end - 1}` : "";
}

/** One sentence about the whole map, shown while nothing is pointed at. */
function sentence(now: Slots): string {
  const shares = Array.from({ length: now.layers }, (_, layer) => shareOf(now, part.value, layer, undefined, 0, now.tokens));
  const kept = shares.reduce((sum, share) => sum + share.kept, 0);
  const bits = shares.reduce((sum, share) => sum + share.kept * share.bits, 0) / Math.max(1, kept);
  const total = shares.reduce((sum, share) => sum + share.total, 0);
  const back = recalledIn(now, 0, now.tokens);
  const brought = back > 0 ? ` ${formatCount(back)} tokens were brought back from the cold tier.` : "";
  return `${formatPercent(kept / total)} of ${formatCount(total)} slots are kept, their ${part.value}s in ${bits.toFixed(1)} bits on average.${brought} Point at the map, or click it to see the words.`;
}

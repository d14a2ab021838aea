// memory-bar: where the cache's bytes go, by format, on one scale for both panes; and the engine's whole GPU memory below.

import { useSignal, useSignalEffect } from "@preact/signals";
import type { FormatName, KvReport, MemoryReport } from "../../src/engine-types";
import { FORMAT_NAMES } from "../choices";
import { formatCount, formatMemory } from "../format";
import { bitColour, bitStep, keyBits, valueBits } from "../map/slots";
import { engine } from "../state/model";
import { laneA, laneB, running } from "../state/run";

export function MemoryBars() {
  const reports = [
    { letter: "A", report: laneA.value.result?.kv },
    { letter: "B", report: laneB.value.result?.kv },
  ].filter((lane): lane is { letter: string; report: KvReport } => lane.report !== undefined);
  if (reports.length === 0) return null;
  const scale = Math.max(...reports.flatMap(({ report }) => [report.bytes, report.fullBytes]));
  return (
    <section class="card memory" aria-labelledby="memory-title">
      <h2 id="memory-title">Where the bytes are</h2>
      {reports.map(({ letter, report }) => (
        <Bar key={letter} letter={letter} report={report} scale={scale} />
      ))}
      <p class="muted">A format's upper half has the colour of its keys' bits, the lower that of its values' (the map's colours). Ring: the newest tokens.</p>
      <EngineMemory />
    </section>
  );
}

function Bar({ letter, report, scale }: { letter: string; report: KvReport; scale: number }) {
  const parts = partsOf(report);
  const used = parts.reduce((sum, { bytes, free }) => sum + (free ? 0 : bytes), 0);
  const words = parts.map(({ name, bytes }) => `${name} ${formatMemory(bytes)}`).join(", ");
  return (
    <figure class="memory-row">
      <figcaption class="figures">
        <b class={`lane-letter letter-${letter.toLowerCase()}`}>{letter}</b> {formatMemory(report.bytes)} reserved, {formatMemory(used)} in slots;{" "}
        {formatCount(report.slotsKept)} slots kept, {formatCount(report.slotsEvicted)} evicted
        {report.cold ? ` (${formatCount(report.cold.recalled)} of them brought back)` : ""}. GPU peak of this run, weights and scratch included:{" "}
        {formatMemory(report.peakBytes)}
      </figcaption>
      <div class="bar" role="img" aria-label={words}>
        {parts.map(({ name, bytes, look }) => (
          <i key={name} {...look} style={{ ...look.style, width: `${(100 * bytes) / scale}%` }} title={`${name}: ${formatMemory(bytes)}`} />
        ))}
      </div>
      <ul class="by-format figures" data-lane={letter.toLowerCase()}>
        {parts.map(({ name, bytes, look }) => (
          <li key={name} data-format={name} data-bytes={bytes}>
            <i {...look} class={`swatch ${look.class ?? ""}`} /> {name} <span class="muted">{formatMemory(bytes)}</span>
          </li>
        ))}
      </ul>
    </figure>
  );
}

interface BarPart {
  readonly name: string;
  readonly bytes: number;
  readonly free: boolean;
  readonly look: { readonly class?: string; readonly style?: { readonly background: string } };
}

/** Formats by falling bits, the ring, and what no slot takes. */
function partsOf({ bytes, bytesByFormat, cold }: KvReport): BarPart[] {
  const { ring = 0, ...formats } = bytesByFormat;
  const used = Object.values(bytesByFormat).reduce((sum, part) => sum + part, 0);
  return [
    ...FORMAT_NAMES.map((name) => ({ name, bytes: formats[name] ?? 0, free: false, look: { style: { background: formatColours(name) } } })),
    { name: "ring", bytes: ring, free: false, look: { class: "ring" } },
    { name: cold ? "guests, tables and free space" : "tables and free space", bytes: Math.max(0, bytes - used), free: true, look: { class: "rest" } },
  ].filter((part) => part.bytes > 0);
}

function formatColours(name: FormatName): string {
  return `linear-gradient(${bitColour(bitStep(keyBits(name)))} 0 50%, ${bitColour(bitStep(valueBits(name)))} 50%)`;
}

/** Asked for once after every run: the sums of all live GPU buffers. */
function EngineMemory() {
  const memory = useSignal<MemoryReport | undefined>(undefined);
  useSignalEffect(() => {
    memory.value = undefined;
    if (running.value) return;
    void engine.value?.memory().then(
      (report) => (memory.value = report),
      () => (memory.value = undefined),
    );
  });
  const now = memory.value;
  if (!now) return null;
  return (
    <p class="muted figures" id="engine-memory" data-total={now.total}>
      Whole engine now: weights {formatMemory(now.weights)}, caches {formatMemory(now.kv)}, scratch {formatMemory(now.scratch)}, staging{" "}
      {formatMemory(now.staging)}; together {formatMemory(now.total)}, peak {formatMemory(now.peak)}.
    </p>
  );
}

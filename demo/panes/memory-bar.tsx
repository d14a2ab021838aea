// memory-bar: where the cache's bytes go, by format, on one scale for both panes; and the engine's whole GPU memory below.

import { useSignal, useSignalEffect } from "@preact/signals";
import type { FormatName, KvReport, MemoryReport } from "../../src/engine-types";
import { formatCount, formatMemory } from "../format";
import { keyBits } from "../map/slots";
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
      <p class="key muted">
        <i class="swatch bits-16" /> 16-bit pages <i class="swatch ring" /> ring (newest tokens, 16 bits) <i class="swatch bits-8" /> 8{" "}
        <i class="swatch bits-4" /> 4 <i class="swatch bits-2" /> 2 bits <i class="swatch rest" /> tables and free space
      </p>
      <EngineMemory />
    </section>
  );
}

function Bar({ letter, report, scale }: { letter: string; report: KvReport; scale: number }) {
  const parts = Object.entries(report.bytesByFormat) as [FormatName | "ring", number][];
  const used = parts.reduce((sum, [, bytes]) => sum + bytes, 0);
  const rest = Math.max(0, report.bytes - used);
  const percent = (bytes: number): string => `${(100 * bytes) / scale}%`;
  const words = parts.map(([format, bytes]) => `${format} ${formatMemory(bytes)}`).join(", ");
  return (
    <figure class="memory-row">
      <figcaption class="figures">
        <b class={`lane-letter letter-${letter.toLowerCase()}`}>{letter}</b> {formatMemory(report.bytes)} reserved, {formatMemory(used)} in slots;{" "}
        {formatCount(report.slotsKept)} slots kept, {formatCount(report.slotsEvicted)} evicted. GPU peak of this run, weights and scratch included:{" "}
        {formatMemory(report.peakBytes)}
      </figcaption>
      <div class="bar" role="img" aria-label={`${words}, tables and free space ${formatMemory(rest)}`}>
        {parts.map(([format, bytes]) => (
          <i
            key={format}
            class={format === "ring" ? "ring" : `bits-${keyBits(format)}`}
            style={{ width: percent(bytes) }}
            title={`${format}: ${formatMemory(bytes)}`}
          />
        ))}
        <i class="rest" style={{ width: percent(rest) }} title={`tables and free space: ${formatMemory(rest)}`} />
      </div>
    </figure>
  );
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

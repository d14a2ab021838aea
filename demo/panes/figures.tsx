// figures: a pane's numbers. Each is measured and has one definition, printed under "How the figures are made".

import { formatCount, formatMemory, formatRate, formatRatio, formatSeconds } from "../format";
import { decodeSpeed, type Lane, ratio } from "../state/lanes";

export function LaneFigures({ lane }: { lane: Lane }) {
  const speed = decodeSpeed(lane);
  const times = ratio(lane);
  const { kvBytes, prefillMs, promptIds } = lane;
  return (
    <dl class="lane-figures figures">
      <Figure
        name="kv"
        label="KV cache"
        value={kvBytes === undefined ? undefined : formatMemory(kvBytes)}
        data={kvBytes}
        title={kvBytes === undefined ? "" : `${formatCount(kvBytes)} bytes`}
        strong
      />
      <Figure name="ratio" label="against 16 bits" value={times === undefined ? undefined : size(times)} data={times} />
      <Figure
        name="speed"
        label="tokens/s"
        value={speed === undefined ? undefined : formatRate(speed)}
        data={speed}
        title="(n - 1) / (t last - t first), from the eighth token on"
      />
      <Figure
        name="prefill"
        label={promptIds.length > 0 ? `prompt, ${formatCount(promptIds.length)} tokens` : "prompt"}
        value={prefillMs === undefined ? undefined : formatSeconds(prefillMs)}
        data={prefillMs}
      />
    </dl>
  );
}

/** From 5 % on it is worth saying which is the smaller one. */
function size(times: number): string {
  return times >= 1.05 ? `${formatRatio(times)} smaller` : `${formatRatio(1 / times)} the size`;
}

interface FigureProps {
  readonly name: string;
  readonly label: string;
  readonly value: string | undefined;
  readonly data: number | undefined;
  readonly title?: string;
  readonly strong?: boolean;
}

function Figure({ name, label, value, data, title, strong }: FigureProps) {
  return (
    <div class={strong ? "strong" : undefined} title={title || undefined}>
      <dt>{label}</dt>
      <dd data-figure={name} data-value={data}>
        {value ?? "…"}
      </dd>
    </div>
  );
}

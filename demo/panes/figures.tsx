// figures: a pane's numbers. Each is measured and has one definition, printed under "How the figures are made".

import { formatCount, formatMemory, formatRate, formatRatio, formatSeconds } from "../format";
import { decodeSpeed, type Lane, ratio } from "../state/lanes";

export function LaneFigures({ lane }: { lane: Lane }) {
  return (
    <>
      <MainFigures lane={lane} />
      <ColdFigures lane={lane} />
    </>
  );
}

/** Slots by where they are. Bytes outside the GPU are a figure of their own, never added to the cache's. */
function ColdFigures({ lane }: { lane: Lane }) {
  const cold = lane.result?.kv.cold;
  if (!cold) return null;
  const limit = `${formatCount(cold.bytes)} of at most ${formatCount(cold.maxBytes)} bytes, not on the GPU and no part of the KV cache above; copies of hot slots included`;
  const filed = cold.fileBytes > 0 || cold.fileFailure !== undefined;
  return (
    <dl class="lane-figures cold-figures figures">
      <Figure name="hot" label="slots hot" value={formatCount(cold.hot)} data={cold.hot} title="On the GPU, recalled ones included" />
      <Figure name="recalled" label="of them recalled" value={formatCount(cold.recalled)} data={cold.recalled} title="Brought back from the cold tier" strong />
      <Figure name="cold" label="cold" value={formatCount(cold.cold)} data={cold.cold} title="Evicted, and kept outside the GPU" />
      <Figure name="gone" label="gone" value={formatCount(cold.gone)} data={cold.gone} title="Evicted for good" />
      <Figure name="cold-bytes" label="outside the GPU" value={formatMemory(cold.bytes)} data={cold.bytes} title={limit} />
      {filed && (
        <Figure
          name="cold-file"
          label="of them on disk"
          value={formatMemory(cold.fileBytes)}
          data={cold.fileBytes}
          title={cold.fileFailure ?? "Values, in a file of the browser's storage; keys are in the worker's memory"}
        />
      )}
    </dl>
  );
}

function MainFigures({ lane }: { lane: Lane }) {
  const speed = decodeSpeed(lane);
  const times = ratio(lane);
  const { kvBytes, prefillMs, promptIds } = lane;
  const read = lane.result?.kv.bytesReadPerToken;
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
        name="read"
        label="read a token"
        value={read === undefined ? undefined : formatMemory(read)}
        data={read}
        title="Bytes that attention reads of the cache for one token, as the kernels counted"
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

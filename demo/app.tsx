// app: the page from top to bottom.

import { formatMemory, formatPercent, formatRate, formatRatio } from "./format";
import { CacheMapCard } from "./map/cache-map";
import { Attempts } from "./panes/attempts";
import { LaneView } from "./panes/lane-view";
import { MemoryBars } from "./panes/memory-bar";
import { Composer } from "./parts/composer";
import { Controls } from "./parts/controls";
import { DropTarget } from "./parts/drop-target";
import { FourChoices } from "./parts/four-choices";
import { Header } from "./parts/header";
import { Methods } from "./parts/methods";
import { ModelBar } from "./parts/model-bar";
import { NoWebGpu } from "./parts/no-webgpu";
import { policyChoice } from "./policies";
import { decodeSpeed, firstSplit, ratio, summarize } from "./state/lanes";
import { support } from "./state/model";
import { laneA, laneB, runningCache } from "./state/run";
import { compressedCache } from "./state/settings";

export function App() {
  const found = support.value;
  return (
    <>
      <Header />
      <main>
        {found?.kind === "missing" ? <NoWebGpu support={found} /> : <ModelBar />}
        <div class="card compose">
          <Composer />
          <Controls />
          <FourChoices />
        </div>
        <Lanes />
        <Attempts />
        <CacheMapCard />
        <MemoryBars />
        <Methods />
      </main>
      <FigureBar />
      <DropTarget />
    </>
  );
}

function Lanes() {
  const a = laneA.value;
  const b = laneB.value;
  const split = firstSplit(a.ids, b.ids);
  return (
    <>
      <div class="lanes">
        <LaneView id="a" title="Full cache" subtitle="Every token in 16 bits." lane={laneA} splitAt={undefined} />
        <LaneView id="b" title="Compressed cache" subtitle={compressedTitle()} lane={laneB} splitAt={split} />
      </div>
      {split !== undefined && b.status === "done" && (
        <p class="muted split-note figures">
          The texts part at token {split + 1}. Later differences are not errors by themselves: each pane goes on from its own words.
        </p>
      )}
    </>
  );
}

/** What B runs, or will run: the controls before the first run, afterwards what it was started with. */
function compressedTitle(): string {
  const cache = laneB.value.status === "idle" ? compressedCache() : runningCache.value;
  const choice = policyChoice(cache.policy ?? "full");
  const title = choice.name === "custom" ? `${choice.title} (${choice.sentence.slice(0, -1)})` : choice.title;
  if (!choice.budgeted || !cache.budget) return `${title}.`;
  const budget = "ratio" in cache.budget ? `${formatPercent(cache.budget.ratio)} of 16 bits` : formatMemory(cache.budget.bytes);
  const cold = cache.cold ? ` What is dropped is kept outside the GPU, up to ${formatMemory(cache.cold.maxBytes)}.` : "";
  return `${title}, budget ${budget}.${cold}`;
}

/** On a phone the panes are long: B's figures stay in view. */
function FigureBar() {
  const lane = laneB.value;
  if (lane.kvBytes === undefined) return null;
  const times = ratio(lane);
  const speed = decodeSpeed(lane);
  const drift = summarize(lane.drift?.tokens ?? []);
  return (
    <div class="figure-bar figures" aria-hidden="true">
      <span>
        <b>{formatMemory(lane.kvBytes)}</b> KV
      </span>
      {times !== undefined && (
        <span>
          <b>{formatRatio(times)}</b> smaller
        </span>
      )}
      {speed !== undefined && (
        <span>
          <b>{formatRate(speed)}</b> tok/s
        </span>
      )}
      {drift && (
        <span>
          <b>{formatPercent(drift.same / drift.count)}</b> same
        </span>
      )}
    </div>
  );
}

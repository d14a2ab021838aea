// run: one press of Run. Generates both panes (in turn or together), then forces B's text through both caches for the drift.

import { computed, type Signal, signal } from "@preact/signals";
import type { CacheOptions, ColdReport, Engine, GenerateRequest, PolicySpec, PresetName, ScoredToken } from "../../src/engine-types";
import { policyChoice } from "../policies";
import { isAbort, shownError } from "./errors";
import { applyEvent, type Drift, EMPTY_LANE, type Lane, summarize } from "./lanes";
import { engine, noticeLoss } from "./model";
import { questionStart } from "./question";
import { askedLater, coldTier, compressedCache, maxTokens, order, prompt, sampling } from "./settings";

/** One finished attempt of pane B at the current prompt, for the table of attempts. */
export interface Attempt {
  readonly policy: PresetName | PolicySpec;
  readonly bytes: number;
  readonly fullBytes: number;
  readonly text: string;
  readonly agreement: number | undefined;
  readonly meanKl: number | undefined;
  /** Where the slots were at the end, if there was a cold tier. */
  readonly cold: ColdReport | undefined;
}

export const laneA = signal<Lane>(EMPTY_LANE);
export const laneB = signal<Lane>(EMPTY_LANE);
/** The cache B runs with, fixed when the run starts: the controls may move meanwhile. */
export const runningCache = signal<CacheOptions>({});
export const running = signal<"both" | "compressed" | undefined>(undefined);
export const attempts = signal<readonly Attempt[]>([]);
export const status = signal("");
/** One text per token of B's (and A's) prompt and output, for the views that need words. */
export const words = signal<{ readonly a: readonly string[]; readonly b: readonly string[] }>({ a: [], b: [] });

export const canRerunCompressed = computed(() => laneA.value.status === "done" && running.value === undefined);

let controller: AbortController | undefined;
/** What both panes were given; a rerun of B alone repeats exactly this. */
let given: Pick<GenerateRequest, "prompt" | "maxTokens" | "temperature" | "seed" | "from"> | undefined;
/** Whether `given` still has to be cut before its last sentence, which needs its tokens. */
let uncut = false;

export async function runBoth(): Promise<void> {
  if (running.value) return;
  given = { prompt: prompt.value, maxTokens: maxTokens.value, ...sampling() };
  uncut = askedLater.value;
  attempts.value = [];
  await run("both", compressedCache());
}

/** Pane B again on the same prompt; `bytes` gives it exactly so much cache. */
export async function rerunCompressed(policy?: PresetName | PolicySpec, bytes?: number): Promise<void> {
  if (canRerunCompressed.value) await run("compressed", compressedCache(policy, bytes));
}

/** Pane B as it was last, but for the cold tier, which is switched off; the cache's bytes stay the same. */
export async function rerunWithoutCold(policy: PresetName | PolicySpec, bytes: number): Promise<void> {
  if (!canRerunCompressed.value) return;
  coldTier.value = false;
  await rerunCompressed(policy, bytes);
}

export function stop(): void {
  controller?.abort();
}

async function run(which: "both" | "compressed", cache: CacheOptions): Promise<void> {
  const current = engine.value;
  if (!current || running.value || !given) return;
  const signal = (controller = new AbortController()).signal;
  running.value = which;
  runningCache.value = cache;
  if (which === "both") laneA.value = { ...EMPTY_LANE, status: "waiting" };
  laneB.value = { ...EMPTY_LANE, status: "waiting" };
  try {
    await cut(current);
    const full = (): Promise<void> => generate(current, laneA, { ...given, policy: "full" } as GenerateRequest, signal);
    const compressed = (): Promise<void> => generate(current, laneB, { ...given, ...cache } as GenerateRequest, signal);
    if (which === "compressed") await compressed();
    else if (order.value === "together") await Promise.all([full(), compressed()]);
    else {
      await full();
      await compressed();
    }
    await measureDrift(current, cache, signal);
    recordAttempt(cache);
  } finally {
    running.value = undefined;
    status.value = finalStatus();
    for (const { error, drift } of [laneA.value, laneB.value]) await noticeLoss(current, error ?? drift?.error);
  }
}

/** Finds the last sentence's first token, once a prompt. A prompt that cannot be tokenized is refused by generate(), in its pane. */
async function cut(current: Engine): Promise<void> {
  if (!uncut || !given) return;
  const from = await questionStart(current, given.prompt).catch(() => undefined);
  if (from !== undefined) given = { ...given, from };
  uncut = false;
}

/** Streams one generation into a lane. Screen updates wait for the next frame; figures do not come from here. */
async function generate(current: Engine, lane: Signal<Lane>, request: GenerateRequest, signal: AbortSignal): Promise<void> {
  if (signal.aborted) {
    lane.value = { ...lane.value, status: "stopped" };
    return;
  }
  const screen = new Frame(lane);
  screen.update((now) => ({ ...now, status: "reading" }));
  status.value = `${lane === laneA ? "Full" : "Compressed"} cache: reading the prompt`;
  try {
    const onProgress: GenerateRequest["onProgress"] = (progress) => screen.update((now) => ({ ...now, prefill: progress }));
    for await (const event of current.generate({ ...request, signal, onProgress, cacheMap: true })) {
      if (event.kind === "prefilled") status.value = `${lane === laneA ? "Full" : "Compressed"} cache: writing`;
      screen.update((now) => applyEvent(now, event));
    }
    screen.flush();
    await splitIntoTokens(current, lane);
  } catch (error) {
    screen.update((now) => (isAbort(error) ? { ...now, status: "stopped" } : { ...now, status: "failed", error: shownError(error) }));
    screen.flush();
  }
}

/** Replaces the pieces by one per token, and remembers the words of the prompt for the map. */
async function splitIntoTokens(current: Engine, lane: Signal<Lane>): Promise<void> {
  const { promptIds, ids } = lane.value;
  const texts = await current.detokenize([...promptIds, ...ids]);
  words.value = lane === laneA ? { ...words.value, a: texts } : { ...words.value, b: texts };
  lane.value = { ...lane.value, pieces: texts.slice(promptIds.length) };
}

/** The answer's tokens through both caches; those of a question that came in after compression are forced, too, but not shown. */
async function measureDrift(current: Engine, cache: CacheOptions, signal: AbortSignal): Promise<void> {
  const { status: ended, promptIds, ids } = laneB.value;
  if (ended !== "done" || ids.length === 0 || signal.aborted) return;
  let drift: Drift = { status: "running", tokens: [], preferred: new Map(), error: undefined };
  const show = (change: Partial<Drift>): void => {
    drift = { ...drift, ...change };
    laneB.value = { ...laneB.value, drift };
  };
  show({});
  status.value = "Measuring the drift: the same tokens through both caches";
  const from = given?.from ?? promptIds.length;
  const asked = promptIds.length - from;
  const scored: ScoredToken[] = [];
  try {
    for await (const event of current.score({ prompt: { ids: [...promptIds, ...ids] }, from, ...cache, signal })) {
      if (event.kind === "scored") scored.push(...event.tokens);
      show(event.kind === "scored" ? { tokens: scored.slice(asked) } : { tokens: event.result.tokens.slice(asked), status: "done" });
    }
    if (drift.status === "running") show({ status: "stopped" });
    const rivals = [...new Set(drift.tokens.filter((token) => !token.top1).flatMap((token) => [token.first, token.fullFirst]))];
    const texts = await current.detokenize(rivals);
    show({ preferred: new Map(rivals.map((id, i) => [id, texts[i] ?? ""])) });
  } catch (error) {
    show(isAbort(error) ? { status: "stopped" } : { status: "failed", error: shownError(error) });
  }
}

function recordAttempt(cache: CacheOptions): void {
  const { result, drift } = laneB.value;
  if (!result || result.output.finishReason === "abort") return;
  const summary = drift?.status === "done" ? summarize(drift.tokens) : undefined;
  const policy = cache.policy ?? "full";
  const agreement = summary && summary.same / summary.count;
  const measured = { bytes: result.kv.bytes, fullBytes: result.kv.fullBytes, agreement, meanKl: summary?.meanKl, cold: result.kv.cold };
  attempts.value = [...attempts.value, { policy, text: result.output.text.trim(), ...measured }];
}

function finalStatus(): string {
  const lanes = [laneA.value, laneB.value];
  if (lanes.some((lane) => lane.status === "failed")) return "Ended with an error";
  if (lanes.some((lane) => lane.status === "stopped")) return "Stopped";
  const summary = summarize(laneB.value.drift?.tokens ?? []);
  const policy = policyChoice(runningCache.value.policy ?? "full").title;
  const same = summary ? `, ${summary.same} of ${summary.count} next tokens the same` : "";
  return `Done: ${laneB.value.ids.length} tokens with ${policy}${same}`;
}

/** Collects changes of a lane and shows them once per frame; a hidden tab shows them when flushed. */
class Frame {
  #next: Lane;
  #scheduled = false;
  #dirty = false;
  readonly #lane: Signal<Lane>;

  constructor(lane: Signal<Lane>) {
    this.#lane = lane;
    this.#next = lane.value;
  }

  update(change: (lane: Lane) => Lane): void {
    this.#next = change(this.#next);
    this.#dirty = true;
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#dirty) this.#lane.value = this.#next;
    this.#dirty = false;
  }
}

// prefill: runs a prompt layer by layer. Every chunk goes through a layer, that layer's keys and values stand unquantized in one staging
// buffer, the policy's statistics are gathered on the way, then the layer is compressed into pages and the buffer serves the next one.
// Several caches can take the same prompt in one pass. A replay may follow the prompt in every layer: its queries score the prompt's slots,
// nothing else of it is kept. From one layer on, part of the tokens may go on alone (FastKV). Source: design, section 5; methods 2.10, 10.3.

import type { KvCache } from "../cache/kv-cache";
import { PromptScorer } from "../cache/prompt-scorer";
import type { RunOptions } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import type { Recorder } from "../gpu/recorder";
import type { Step } from "../gpu/step";
import { chooseTokens, type PropagationPlan, planPropagation } from "../policy/propagation";
import { DEFAULTS, scorerByName } from "../policy/scorers";
import { PromptPass, type PromptTarget } from "./prompt-pass";
import type { Transformer } from "./transformer";

export type { PromptTarget };

/** What goes into the same submit as the prompt's last logits, before another request can overwrite them. */
export interface PromptEnd {
  readonly step: Partial<Step>;
  record(recorder: Recorder): void;
}

/**
 * Fills the caches with the prompt; `end` finds the logits of its last token in transformer.logits.
 * A cache whose policy propagates some tokens only wants a pass of its own, as the others' hidden states would be those of that policy.
 * Aborts between chunks (ABORTED); nothing of it stays on the GPU then but the caches, which their owner disposes.
 */
export async function prefill(
  transformer: Transformer,
  ids: readonly number[],
  targets: readonly PromptTarget[],
  end: PromptEnd,
  options: RunOptions = {},
  replay: readonly (readonly number[])[] = [],
): Promise<void> {
  const { gpu, config } = transformer;
  if (replay.length === 0 && targets.some((target) => target.replay))
    throw new EngineError("INTERNAL", "A score wants the prompt's replay and prefill() was given none. Pass replayParts().");
  const narrowing = narrowingOf(targets, ids.length, config.layers, replay.length);
  const rows = ids.length + replay.flat().length;
  const capacity = ids.length + Math.max(0, ...replay.map((part) => part.length));
  const replayed = replay.map((part) => part.length);
  let pass = new PromptPass(transformer, targets, transformer.bindPrompt([...ids, ...replay.flat()], { capacity }), ids.length, ids.length, replayed);
  let chooser: PromptScorer | undefined;
  try {
    pass.begin();
    if (narrowing) chooser = bindChooser(transformer, pass, narrowing);
    await gpu.kernels.ready();
    const total = rows * config.layers - (narrowing ? (ids.length - narrowing.plan.count) * (config.layers - 1 - narrowing.plan.layer) : 0);
    let before = 0;
    for (let layer = 0; layer < config.layers; layer++) {
      const chooses = narrowing?.plan.layer === layer;
      await pass.run({
        layer,
        signal: options.signal,
        chooser: chooses ? chooser : undefined,
        done: (done) => options.onProgress?.({ phase: "prefill", done: before + done, total }),
      });
      before += pass.tokens + rows - ids.length;
      if (!chooses || !chooser) continue;
      const scores = new Float32Array(await gpu.read(chooser.importance));
      const full = pass;
      const chosen = chooseTokens(narrowing.plan, scores, config.kvHeads);
      const { gather, ...prompt } = full.prompt.narrow(chosen);
      pass = new PromptPass(transformer, targets, prompt, chosen.length, ids.length);
      await submitAndDispose(transformer, full, gather);
      pass.begin();
      await gpu.kernels.ready();
    }
    throwIfAborted(options.signal);
    transformer.step.write({ ...end.step, tokens: 1, firstRow: pass.tokens - 1 });
    const recorder = gpu.record("prefill.head");
    pass.prompt.recordLogits(recorder);
    end.record(recorder);
    recorder.submit();
    for (const { cache } of targets) {
      cache.endPrompt(ids.length);
      cache.watcher?.tell(0, ids);
    }
  } finally {
    chooser?.dispose();
    pass.dispose();
  }
  for (const { cache } of targets) cache.beginDecoding();
  await gpu.kernels.ready();
}

interface Narrowing {
  readonly cache: KvCache;
  readonly plan: PropagationPlan;
}

/** Who of the prompt goes on, where not all do. */
function narrowingOf(targets: readonly PromptTarget[], tokens: number, layers: number, replay: number): Narrowing | undefined {
  const cache = targets.map((target) => target.cache).find(({ policy }) => policy.propagate);
  if (!cache?.policy.propagate) return undefined;
  if (targets.length > 1 || replay > 0)
    throw new EngineError("INTERNAL", "A policy that propagates part of a prompt shared its pass with another cache or a replay. Give it a pass of its own.");
  return { cache, plan: planPropagation(cache.policy.propagate, cache.policy, tokens, layers) };
}

/** SnapKV's scores of the prompt's tokens, with the paper's window and pool, whatever the policy's own score is. */
function bindChooser({ gpu, config }: Transformer, { prompt, tokens }: PromptPass, { cache, plan }: Narrowing): PromptScorer {
  const { window, pool, sinks } = plan;
  const options = { ...DEFAULTS, kind: "snapkv", window, pool, poolKind: "mean", sinks } as const;
  return new PromptScorer(gpu, config, scorerByName("snapkv"), options, { ...prompt.scoreBuffers, promptTokens: tokens, owner: cache.plan.owner });
}

/** Rows are gathered from the pass that ends: afterwards nothing needs it. */
async function submitAndDispose({ gpu }: Transformer, full: PromptPass, gather: { record(recorder: Recorder): void }): Promise<void> {
  try {
    await gpu.kernels.ready();
    const recorder = gpu.record("prefill.narrow");
    gather.record(recorder);
    recorder.submit();
  } finally {
    full.dispose();
  }
}

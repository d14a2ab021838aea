// candidate: a policy and what it may use, as the benchmark's sections compare them.

import { fullBytesPerToken } from "../../src/cache/page-layout";
import type { CacheOptions, PolicySpec, PresetName } from "../../src/engine-types";
import { Sequence } from "../../src/model/sequence";
import type { Transformer } from "../../src/model/transformer";
import { layerShares } from "../../src/policy/layer-shares";
import { PRESETS } from "../../src/policy/presets";
import { RING, SINKS } from "../../src/policy/schedules";

/** A policy with what it may use, as a part of the 16-bit cache for all tokens. */
export interface Candidate {
  readonly policy: PresetName;
  readonly ratio?: number;
  /** The ratio is one of the prompt's cache, and the prompt alone is compressed to it: later tokens come on top, in the richest format of the policy. */
  readonly promptAlone?: boolean;
}

/** "rate-distortion 0.25" */
export function candidateName({ policy, ratio, promptAlone }: Candidate): string {
  return `${policy}${ratio === undefined ? "" : ` ${ratio}`}${promptAlone ? ", prompt alone" : ""}`;
}

export function cacheOptions({ policy, ratio }: Candidate): CacheOptions {
  return { policy, ...(ratio === undefined ? {} : { budget: { ratio } }) };
}

/** Tokens of a run, and those of its prompt. */
export interface RunLength {
  readonly tokens: number;
  readonly prompt: number;
}

/** What `promptAlone` asks for, and the bytes of it that are set aside for later tokens. */
export function promptAlone(transformer: Transformer, { policy, ratio = 1 }: Candidate, { tokens, prompt }: RunLength): { cache: CacheOptions; aside: number } {
  const { config, codec } = transformer;
  const preset: PolicySpec = PRESETS[policy].spec;
  const spec: PolicySpec = {
    ...preset,
    schedule: { kind: "prefill" },
    budget: { kind: "table", table: layerShares(config, ratio, codec?.calibration) }, // those of the ratio at which the prompt is compressed
    ...(ratio < RING.below && { ring: RING.small, sinks: SINKS.small }), // as by itself
  };
  const promptBytes = ratio * prompt * fullBytesPerToken(config);
  // What later tokens take depends on the pages' size, and that on the budget: a few rounds settle both.
  let aside = (tokens - prompt) * fullBytesPerToken(config);
  let cache: CacheOptions = {};
  for (let round = 0; round < 4; round++) {
    cache = { policy: spec, budget: { bytes: Math.floor(promptBytes + aside) } };
    const sequence = new Sequence(transformer, cache, tokens, prompt);
    const { headroom, layout } = sequence.cache.plan;
    aside = headroom.reduce((sum, { pages }) => sum + pages, 0) * layout.pageBytes;
    sequence.dispose();
  }
  return { cache, aside };
}

// candidate: a policy and what it may use, as the benchmark's sections compare them.

import type { CacheOptions, PresetName } from "../../src/engine-types";

/** A policy with what it may use, as a part of the 16-bit cache for all tokens. */
export interface Candidate {
  readonly policy: PresetName;
  readonly ratio?: number;
}

/** "rate-distortion 0.25" */
export function candidateName({ policy, ratio }: Candidate): string {
  return ratio === undefined ? policy : `${policy} ${ratio}`;
}

export function cacheOptions({ policy, ratio }: Candidate): CacheOptions {
  return { policy, ...(ratio === undefined ? {} : { budget: { ratio } }) };
}

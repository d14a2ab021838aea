// scorers: every method by its name, and the settings of those that set none.

import type { ScoreName } from "../../engine-types";
import { SINKS } from "../schedules";
import { attentionHistory } from "./attention-history";
import { cake } from "./cake";
import { critical } from "./critical";
import { defensive } from "./defensive";
import { ensemble } from "./ensemble";
import { ensembleReplay } from "./ensemble-replay";
import { expectedAttention } from "./expected-attention";
import { expectedAttentionStats } from "./expected-attention-stats";
import { h2o } from "./h2o";
import { keydiff } from "./keydiff";
import { knorm } from "./knorm";
import { kvzip } from "./kvzip";
import { lagkv } from "./lagkv";
import { qfilter } from "./qfilter";
import { rkv } from "./r-kv";
import { random } from "./random";
import type { ScoreOptions, Scorer } from "./scorer";
import { snapkv } from "./snapkv";
import { streamingLlm } from "./streaming-llm";
import { tova } from "./tova";
import { valueNorm } from "./value-norm";

export const SCORERS: readonly Scorer[] = [
  expectedAttention,
  expectedAttentionStats,
  ensemble,
  ensembleReplay,
  kvzip,
  snapkv,
  tova,
  h2o,
  attentionHistory,
  defensive,
  critical,
  streamingLlm,
  knorm,
  keydiff,
  lagkv,
  rkv,
  cake,
  valueNorm,
  qfilter,
  random,
];

/** What a method gets where neither the caller nor its own defaults say otherwise. */
export const DEFAULTS: Omit<ScoreOptions, "kind"> = {
  sinks: SINKS.usual,
  futurePositions: 512,
  epsilon: 0,
  valueNorm: false,
  window: 64,
  pool: 1,
  poolKind: "mean",
  reduce: "mean",
  decay: 1,
  distance: 0,
  block: 1,
  lambda: 0.1,
  gamma: 200,
  lag: 128,
  seed: 0,
};

export function scorerByName(name: ScoreName): Scorer {
  const scorer = SCORERS.find((candidate) => candidate.name === name);
  if (!scorer) throw new TypeError(`Unknown scorer ${name}.`);
  return scorer;
}

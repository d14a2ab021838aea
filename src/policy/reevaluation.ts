// reevaluation: AGACC's re-evaluation (seed document 001, 2.6): how often importance is recalculated while decoding, from how many tokens, and what of the
// score's own form it keeps. Leaves to others: counting what slots receive (cache/tracker), the arithmetic (shaders/reevaluate.wgsl).

import type { PolicySpec } from "../engine-types";
import { bad, whole, within } from "./checks";
import { scorerByName } from "./scorers";
import type { ScoreOptions } from "./scorers/scorer";

/** Everything set. */
export interface Reevaluation {
  /** N_r: tokens from one re-evaluation to the next. */
  readonly every: number;
  /** N_w: last tokens whose attention counts. */
  readonly window: number;
  /** The window was given, not the default: it must fit the context. */
  readonly asked: boolean;
  /** alpha: part of what was received lately in the new importance. */
  readonly decay: number;
  /** Times what it was from which an importance has risen significantly: its slot is held. */
  readonly rise: number;
  /** The score is the mean over layers and heads (2.2), so what is received is, too. */
  readonly shared: boolean;
  /** The score is divided by P(d) = (1 + d)^-distance, d positions before the next token (2.3), so what is received is, too; 0 for none. */
  readonly distance: number;
  /** The score is mean attention a query; else what is received is brought to the scale of the head's importances. */
  readonly attention: boolean;
  /** B: positions that are judged by the best of them (2.5). */
  readonly block: number;
}

/** The document leaves N_r, N_w, alpha and "significantly" open: round numbers. */
const DEFAULTS = { every: 64, decay: 0.5, rise: 2 } as const;

/** Planes of received attention that may be kept: 1 + window / every. */
const MOST_PERIODS = 7;

/** Throws BAD_OPTION. What depends on the context's length is checked with that: checkWindow(). */
export function resolveReevaluation(spec: NonNullable<PolicySpec["reevaluate"]>, score: ScoreOptions | undefined): Reevaluation {
  if (!score) throw bad("reevaluate", "uniform precision", "a precision that drops or chooses bits: what has no importance cannot be judged anew");
  const every = whole("reevaluate.every", spec.every ?? DEFAULTS.every, 1, 1 << 16);
  const window = whole("reevaluate.window", spec.window ?? every, 1, 1 << 16);
  if (window > every && (window % every !== 0 || window > MOST_PERIODS * every))
    throw bad("reevaluate.window", window, `at most \`every\` (${every}), or up to ${MOST_PERIODS} times it`);
  const asked = spec.window !== undefined;
  const history = scorerByName(score.kind).history;
  return {
    every,
    window,
    asked,
    decay: within("reevaluate.decay", spec.decay ?? DEFAULTS.decay, 0, 1),
    rise: within("reevaluate.rise", spec.rise ?? DEFAULTS.rise, 1, 1e6),
    shared: history?.shared ?? false,
    distance: score.distance,
    attention: history !== undefined && !score.valueNorm,
    block: score.block,
  };
}

/** A given N_w cannot reach back beyond the tokens of a request; by default fewer tokens are just not re-evaluated. Throws BAD_OPTION. */
export function checkWindow({ reevaluate }: { readonly reevaluate?: Reevaluation }, tokens: number): void {
  if (reevaluate?.asked && reevaluate.window > tokens) throw bad("reevaluate.window", reevaluate.window, `at most the request's ${tokens} tokens`);
}

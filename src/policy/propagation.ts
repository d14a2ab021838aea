// propagation: FastKV's token-selective propagation (Jo et al. 2025, methods 2.10): from one layer on, a prompt's pass goes on with a part of its
// tokens alone. Which part, and what it goes with. Leaves to others: scores (snapkv), the pass itself (src/model/prefill).

import type { PolicySpec } from "../engine-types";
import { bad, whole, within } from "./checks";
import type { Policy } from "./policy";
import { scorerByName } from "./scorers";

/** Everything set but for what depends on the model. */
export interface Propagation {
  /** Part of the prompt's tokens that go on. */
  readonly rate: number;
  /** The last layer that sees all of them; default layers / 2 - 1, as the paper's 15 of 32. */
  readonly layer?: number;
  /** Last queries whose attention chooses. */
  readonly window: number;
  /** Neighbours whose scores are averaged, odd. */
  readonly pool: number;
}

/** The same for one prompt of one model. */
export interface PropagationPlan extends Propagation {
  readonly layer: number;
  /** Tokens that go on. */
  readonly count: number;
  /** Those of them that go on whatever their scores: sinks, window, what the ring will hold, pinned ones. */
  readonly always: ReadonlySet<number>;
  readonly sinks: number;
}

/** The paper's. */
const FASTKV = { rate: 0.2, window: 8, pool: 7 } as const;

/** FastKV's part of a prompt that each layer retains: the budget where none is given. */
export const RETAINED = 0.1;

/** Throws BAD_OPTION. */
export function resolvePropagation(
  spec: NonNullable<PolicySpec["propagate"]>,
  { score, budget, markers }: Pick<Policy, "score" | "budget" | "markers">,
): Propagation {
  if (!score) throw bad("propagate", "uniform precision", "a precision that drops or chooses bits by a score, as layers would be of different lengths");
  if (scorerByName(score.kind).replay)
    throw bad("score.kind", score.kind, "a score without replay together with propagate: later layers see too little of the prompt");
  if (scorerByName(score.kind).history?.shared)
    throw bad("score.kind", score.kind, "a score of each layer by itself together with propagate: later layers see other tokens");
  if (budget.weighsLayers)
    throw bad("budget.kind", budget.kind, "a budget that does not weigh layers against each other together with propagate: they see different tokens");
  if (markers.count > 0) throw bad("markers", markers, "none together with propagate, as layers cannot sum up tokens that never reached them");
  const rate = spec.rate ?? FASTKV.rate;
  if (!(rate > 0 && rate <= 1)) throw bad("propagate.rate", rate, "above 0, at most 1 (the part of the prompt's tokens that go on)");
  const pool = whole("propagate.pool", spec.pool ?? FASTKV.pool, 1, 255);
  if (pool % 2 === 0) throw bad("propagate.pool", pool, "an odd number");
  return {
    rate: within("propagate.rate", rate, 0, 1),
    window: whole("propagate.window", spec.window ?? FASTKV.window, 1, 4096),
    pool,
    ...(spec.layer !== undefined && { layer: whole("propagate.layer", spec.layer, 0, 1 << 10) }),
  };
}

/** The last layer of a model that sees all of a prompt. Throws BAD_OPTION where none would be left above it. */
export function propagationLayer({ layer }: Pick<Propagation, "layer">, layers: number): number {
  const last = layer ?? Math.max(0, Math.floor(layers / 2) - 1);
  if (last > layers - 2) throw bad("propagate.layer", last, `0 to ${layers - 2}, below the last of this model's ${layers} layers`);
  return last;
}

/** For a prompt of `tokens`. At least one token goes on besides those that always do: what is coded is centred on means of such. */
export function planPropagation(rule: Propagation, policy: Pick<Policy, "sinks" | "ring" | "pinned">, tokens: number, layers: number): PropagationPlan {
  const { sinks, ring, pinned } = policy;
  const newest = Math.max(rule.window, Math.floor(ring / 2));
  const isPinned = (position: number): boolean => pinned.some(([start, end]) => position >= start && position < end);
  const positions = Array.from({ length: tokens }, (_, position) => position);
  const always = new Set(positions.filter((position) => position < sinks || position >= tokens - newest || isPinned(position)));
  const count = Math.min(tokens, Math.max(Math.floor(rule.rate * tokens), always.size + 1));
  return { ...rule, layer: propagationLayer(rule, layers), count, always, sinks };
}

/**
 * The tokens that go on, ascending: those that always do, then the greatest sums over kv heads; of equals the earlier.
 * @param scores (kvHeads, tokens), those of `always` not looked at
 */
export function chooseTokens({ count, always }: Pick<PropagationPlan, "count" | "always">, scores: Float32Array, kvHeads: number): number[] {
  const tokens = scores.length / kvHeads;
  const sums = new Float64Array(tokens);
  for (const [at, score] of scores.entries()) sums[at % tokens] = (sums[at % tokens] ?? 0) + score;
  const others = Array.from(sums.keys()).filter((position) => !always.has(position));
  others.sort((a, b) => (sums[b] ?? 0) - (sums[a] ?? 0) || a - b);
  return [...always, ...others.slice(0, count - always.size)].sort((a, b) => a - b);
}

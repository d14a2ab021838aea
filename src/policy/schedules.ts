// schedules: when. Every schedule is one number: how many tokens that left the ring a layer may keep unjudged, in the richest of its formats,
// before all its slots are judged again. Leaves to others: the pages this takes (src/cache/headroom), counting (src/cache/ring-schedule).

import type { PolicySpec } from "../engine-types";
import { bad, whole } from "./checks";

type ScheduleSpec = NonNullable<PolicySpec["schedule"]>;
export type ScheduleKind = ScheduleSpec["kind"];

export interface ScheduleRule {
  readonly kind: ScheduleKind;
  /** every: tokens between two judgements of a layer. */
  readonly tokens: number;
}

export const SCHEDULE_KINDS: readonly ScheduleKind[] = ["ring", "every", "budget", "prefill"];

/**
 * Tokens of a ring, and the ratio below which it is small: at 6.25 % a ring of 16 takes a fifth of SmolLM2's budget, and half of it drifts .054 nats instead of .067.
 * Beside guests a small one is longer, as what is asked must not be rounded while it is looked up: the tiny model at 1.9 %, 16 guests of 4 bits, two sinks, documents 17 to 24:
 * 14 of 48 right with a ring of 8, 27 with 12 (23 with 10 and four sinks), and 27 at 2.5 % with 16 and four.
 */
export const RING = { usual: 16, small: 8, besideGuests: 12, below: 0.1 } as const;

/** Tokens that are sinks, and how many where the ring is small: two more in 16 bits take a fortieth of SmolLM2's budget at 6.25 %, where .042 nats become .038 without. */
export const SINKS = { usual: 4, small: 2 } as const;

/** R-KV's buffer (Cai et al. 2025): it judges every 128 tokens. */
const EVERY = 128;

/** Throws BAD_OPTION: an unknown kind, or tokens for one that has no use for them. */
export function resolveSchedule(spec: PolicySpec["schedule"]): ScheduleRule {
  const { kind } = spec ?? { kind: "ring" };
  if (!SCHEDULE_KINDS.includes(kind)) throw bad("schedule.kind", kind, SCHEDULE_KINDS.join(", "));
  if (kind !== "every" && spec?.tokens !== undefined) throw bad("schedule.tokens", spec.tokens, `none with ${kind}; they are for every`);
  return { kind, tokens: whole("schedule.tokens", spec?.tokens ?? EVERY, 1, 1 << 20) };
}

/**
 * Tokens of a layer that may be in pages unjudged, where that does not follow from its pages (undefined: budget).
 * @param turns tokens between two compressions of a layer's ring
 * @param ahead tokens that will leave the ring at most
 */
export function unjudgedTokens({ kind, tokens }: ScheduleRule, turns: number, ahead: number): number | undefined {
  if (kind === "budget") return undefined;
  if (kind === "prefill") return ahead;
  return kind === "every" && tokens > turns ? Math.min(tokens - 1, ahead) : 0;
}

// auto: the decision table of the project's seed on what to do for which context: short ones are left alone, longer ones lose what is looked
// at least, the longest are quantized and thinned; where the model reasons, never below 30 % of the bytes.

import type { Budget, CacheOptions, PolicySpec, PresetName } from "../engine-types";
import { bad } from "./checks";
import { budgetBytes } from "./policy";

interface Row {
  /** Tokens, prompt and new ones, from which the row holds. */
  readonly tokens: number;
  readonly policy: PresetName | PolicySpec;
  readonly ratio?: number;
}

/** The seed's four rows. Its "FP8 or INT4 with eviction" is Lacuna's own rule at the same tenth of the bytes. */
const ROWS: readonly Row[] = [
  { tokens: 131_072, policy: "lacuna", ratio: 0.1 },
  { tokens: 32_768, policy: { score: { kind: "snapkv", window: 64 }, budget: { kind: "ada" }, precision: { kind: "evict-only" } }, ratio: 0.25 },
  { tokens: 8192, policy: { score: { kind: "h2o" }, budget: { kind: "pyramid" }, precision: { kind: "evict-only" } }, ratio: 0.5 },
  { tokens: 0, policy: "full" },
];

/** Least part of the bytes by what the answer is for. */
const FLOORS: Readonly<Record<NonNullable<CacheOptions["task"]>, number>> = { chat: 0, reasoning: 0.3 };

/**
 * What `auto` stands for. A budget given by the caller takes the table's place, but never lifts it for contexts that need none. Throws BAD_OPTION for what is no
 * budget or no task, however long the context: what is written for short ones should not fail at the first long one.
 */
export function autoChoice(
  { budget, task = "chat" }: Pick<CacheOptions, "budget" | "task">,
  tokens: number,
  fullBytes: number,
): Pick<CacheOptions, "policy" | "budget"> {
  if (!Object.hasOwn(FLOORS, task)) throw bad("task", task, Object.keys(FLOORS).join(", "));
  if (budget !== undefined) budgetBytes(budget, fullBytes);
  const row = ROWS.find((candidate) => tokens >= candidate.tokens);
  if (!row?.ratio) return { policy: "full" };
  return { policy: row.policy, budget: raised(budget ?? { ratio: row.ratio }, FLOORS[task], fullBytes) };
}

function raised(budget: Budget, floor: number, fullBytes: number): Budget {
  return "bytes" in budget ? { bytes: Math.max(budget.bytes, Math.ceil(floor * fullBytes)) } : { ratio: Math.max(budget.ratio, floor) };
}

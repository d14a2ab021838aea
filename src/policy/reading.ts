// reading: what a decoded token reads of what is held, the fifth choice of a policy: everything, or by Quest's page bounds, or by RocketKV's
// hybrid sparse attention. Leaves to others: sizes (src/cache/read-plan), the reading itself (src/cache/selective-reader).

import type { Format } from "../cache/formats";
import type { PolicySpec } from "../engine-types";
import { bad, whole, within } from "./checks";

export type ReadRule =
  | { readonly kind: "all" }
  /** Quest (methods 2.14): chunks of neighbours by the bounds of their keys; the first `dense` layers read everything. */
  | { readonly kind: "quest"; readonly tokens: number; readonly chunk: number; readonly dense: number; readonly reselect?: number }
  /** RocketKV's second stage (methods 2.8): chunk and channels follow from how many slots are held per token that is read. */
  | { readonly kind: "rocket"; readonly tokens: number; readonly dense: number; readonly reselect?: number; readonly turn?: TurnRule };

/** RocketKV-MT (methods 2.8): what an answer may read is first filtered by SnapKV's scores of its turn's last `window` tokens, the largest of `pool` neighbours. */
export interface TurnRule {
  readonly window: number;
  readonly pool: number;
}

/** Quest's page and its layers without selection; an eighth of 2,048 tokens a step. */
const QUEST = { tokens: 256, chunk: 16, dense: 2 } as const;
const ROCKET = { tokens: 256, dense: 0 } as const;
const TURN = { window: 32, pool: 63 } as const;

/**
 * @param formats of the policy: chunks are taken from one list of pages a head, whose keys can be decoded by themselves
 * @param smallest number of tokens: sinks and ring, and one more
 * Throws BAD_OPTION.
 */
export function resolveReading(
  spec: PolicySpec["read"],
  formats: readonly Format[],
  smallest: number,
  { reevaluate: reevaluates, precision }: Pick<PolicySpec, "reevaluate" | "precision">,
): ReadRule {
  if (spec === undefined || spec.kind === "all") return { kind: "all" };
  if (spec.kind !== "quest" && spec.kind !== "rocket") throw bad("read.kind", spec.kind, "all, quest, rocket");
  const names = formats.map(({ name }) => name).join(",");
  if (formats.length !== 1) throw bad("precision.formats", names, `one format together with read ${spec.kind}, as chunks are taken from one list a head`);
  if (formats[0]?.basis !== "hadamard") throw bad("precision.formats", names, `a format neither calibrated nor sparse together with read ${spec.kind}`);
  if (reevaluates) throw bad("reevaluate", reevaluates, `none together with read ${spec.kind}, as slots that are not read receive nothing`);
  const defaults = spec.kind === "quest" ? QUEST : ROCKET;
  const reselect = spec.reselect === undefined ? {} : { reselect: within("read.reselect", spec.reselect, -1, 1) };
  const tokens = whole("read.tokens", spec.tokens ?? defaults.tokens, smallest, 1 << 20);
  const dense = whole("read.dense", spec.dense ?? defaults.dense, 0, 1 << 10);
  if (spec.kind === "rocket")
    return { kind: "rocket", tokens, dense, ...reselect, ...(spec.turn !== undefined && { turn: resolveTurn(spec.turn, precision) }) };
  if (spec.turn !== undefined) throw bad("read.turn", spec.turn, "nothing together with read quest, which has no filter");
  return { kind: "quest", tokens, dense, chunk: whole("read.chunk", spec.chunk ?? QUEST.chunk, 1, 256), ...reselect };
}

function resolveTurn(turn: NonNullable<NonNullable<PolicySpec["read"]>["turn"]>, precision: PolicySpec["precision"]): TurnRule {
  if (precision.kind !== "uniform") throw bad("read.turn", precision.kind, "precision uniform, as what a turn leaves out must be there for the next");
  const pool = whole("read.turn.pool", turn.pool ?? TURN.pool, 1, 255);
  if (pool % 2 === 0) throw bad("read.turn.pool", pool, "an odd number");
  return { window: whole("read.turn.window", turn.window ?? TURN.window, 1, 4096), pool };
}

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
  | { readonly kind: "rocket"; readonly tokens: number; readonly dense: number; readonly reselect?: number };

/** Quest's page, its layers without selection, and the tokens a step that the milestone asks for. */
const QUEST = { tokens: 256, chunk: 16, dense: 2 } as const;
const ROCKET = { tokens: 256, dense: 0 } as const;

/**
 * RocketKV's split: tokens that its first stage leaves of a prompt of S and M new ones, C1 = S / c^rho of all, with c = max(1, S / t) and
 * rho = min(.2 + .06 log2 c, .8), and no fewer than min(2 M, S). Source: methods 2.8.
 * @returns tokens held at the request's end, the new ones among them
 */
export function rocketCapacity(tokens: number, promptTokens: number, newTokens: number): number {
  const c = Math.max(1, promptTokens / tokens);
  const rho = Math.min(0.2 + 0.06 * Math.log2(c), 0.8);
  return Math.max(Math.floor(promptTokens / c ** rho), Math.min(2 * newTokens, promptTokens));
}

/**
 * @param formats of the policy: chunks are taken from one list of pages a head, whose keys can be decoded by themselves
 * @param smallest number of tokens: sinks and ring, and one more
 * Throws BAD_OPTION.
 */
export function resolveReading(spec: PolicySpec["read"], formats: readonly Format[], smallest: number, reevaluates: PolicySpec["reevaluate"]): ReadRule {
  if (spec === undefined || spec?.kind === "all") return { kind: "all" };
  if (spec?.kind !== "quest" && spec?.kind !== "rocket") throw bad("read.kind", spec?.kind, "all, quest, rocket");
  const names = formats.map(({ name }) => name).join(",");
  if (formats.length !== 1) throw bad("precision.formats", names, `one format together with read ${spec.kind}, as chunks are taken from one list a head`);
  if (formats[0]?.basis !== "hadamard") throw bad("precision.formats", names, `a format neither calibrated nor sparse together with read ${spec.kind}`);
  if (reevaluates) throw bad("reevaluate", reevaluates, `none together with read ${spec.kind}, as slots that are not read receive nothing`);
  const defaults = spec.kind === "quest" ? QUEST : ROCKET;
  const reselect = spec.reselect === undefined ? {} : { reselect: within("read.reselect", spec.reselect, -1, 1) };
  const tokens = whole("read.tokens", spec.tokens ?? defaults.tokens, smallest, 1 << 20);
  const dense = whole("read.dense", spec.dense ?? defaults.dense, 0, 1 << 10);
  if (spec.kind === "rocket") return { kind: "rocket", tokens, dense, ...reselect };
  return { kind: "quest", tokens, dense, chunk: whole("read.chunk", spec.chunk ?? QUEST.chunk, 1, 256), ...reselect };
}

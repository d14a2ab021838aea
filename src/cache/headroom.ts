// headroom: pages that a judgement leaves free in a layer for the tokens that are appended until the next one. So the host knows an upper
// bound of the pages in use without asking: what was judged fits the rest, and what was appended since is counted (ring-schedule).

import type { Policy } from "../policy/policy";
import { unjudgedTokens } from "../policy/schedules";
import type { CacheShape, PageLayout } from "./page-layout";

/** Tokens of a request: all, and those of its prompt if known. */
export interface Extent {
  readonly tokens: number;
  readonly promptTokens?: number;
}

/** Of one layer. */
export interface Headroom {
  readonly pages: number;
  /** Tokens that may be appended before the layer must be judged. */
  readonly tokens: number;
}

/** Part of a layer that schedule "budget" frees at a judgement. */
const FREED = 1 / 8;

/** Pages of every layer that are set aside before the budget is divided: those whose number does not follow from it. */
export function pagesAside(policy: Policy, layout: PageLayout, shape: CacheShape, extent: Extent): number {
  return policy.mode === "static" ? 0 : pagesToAppend(shape, layout, unjudged(policy, extent) ?? 0);
}

/** Headroom of a layer with so many pages: at least a page per head is left to what is judged. */
export function headroomOf(policy: Policy, layout: PageLayout, shape: CacheShape, extent: Extent, pages: number): Headroom {
  if (policy.mode === "static") return { pages: 0, tokens: 0 };
  const tokens = unjudged(policy, extent);
  const wanted = tokens === undefined ? Math.floor(pages * FREED) : pagesToAppend(shape, layout, tokens);
  const granted = Math.max(0, Math.min(wanted, pages - shape.kvHeads));
  const room = Math.floor(granted / shape.kvHeads) * richestSlots(layout);
  return { pages: granted, tokens: Math.min(tokens ?? room, room) };
}

function unjudged({ schedule, ring, sinks }: Policy, { tokens, promptTokens = 0 }: Extent): number | undefined {
  const newer = Math.floor(ring / 2); // stay in the ring
  return unjudgedTokens(schedule, ring - newer, Math.max(0, Math.min(tokens - promptTokens, tokens - sinks - newer)));
}

/** A head's richest list grows by no more pages than this, however full its last page is; the other lists do not grow. */
function pagesToAppend({ kvHeads }: CacheShape, layout: PageLayout, tokens: number): number {
  return kvHeads * Math.ceil(tokens / richestSlots(layout));
}

function richestSlots({ slotsPerPage }: PageLayout): number {
  return slotsPerPage.at(-1) ?? 1;
}

// map-types: the public words of the cache map. Types only, and part of engine-types, by which they are imported.

import type { FormatName } from "./engine-types";

/** What a marker stands for: `count` evicted tokens of positions [first, end), between which kept ones may lie. */
export interface MarkerSpan {
  readonly first: number;
  readonly end: number;
  readonly count: number;
}

/** Every kept position, by layer and kv head, with its format. Arrays are parallel, sorted by position. Markers where the policy has some, by position too. */
export interface CacheMap {
  readonly tokens: number;
  readonly formats: readonly FormatName[];
  readonly recalled?: Uint32Array; // positions that the cold tier brought back, ascending
  readonly layers: readonly { readonly heads: readonly HeadMap[] }[];
}

export interface HeadMap {
  readonly positions: Uint32Array;
  readonly format: Uint8Array;
  readonly guests?: Uint32Array; // positions that this head holds in guest rows, and in no page, ascending; where there is a cold tier
  readonly markers?: readonly MarkerSpan[];
}

// cache-plan: the sizes of one cache, from the model's shape, the policy and the bytes it may use: pages by layer, ring, tables, what attention needs beside them.
// Leaves to others: the byte formula (page-layout), the buffers themselves (cache-buffers).

import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { CacheGeometry } from "../kernels/cache-kernel";
import { MOST_SEGMENTS } from "../kernels/cache-kernel";
import type { ModelConfig } from "../model/model-config";
import type { Policy } from "../policy/policy";
import { type Codec, checkCodec } from "./bases";
import { unitsBeforePages } from "./extra-rows";
import { isFloor, relativeErrors } from "./formats";
import { type Headroom, headroomOf, pagesAside } from "./headroom";
import {
  type CacheShape,
  cacheBytes,
  choosePageLayout,
  type ExtraRows,
  extraWords,
  type FixedParts,
  fullBytesPerToken,
  meanWords,
  type PageLayout,
  pagesPerLayer,
  type RingBits,
  ringPlaneWords,
  tableWords,
} from "./page-layout";
import { type ReadPlan, readBytes, readPlanner } from "./read-plan";
import { trackerBytes } from "./tracker";

export interface CacheRequest {
  /** Tokens the cache must take at most: prompt and new ones. */
  readonly tokens: number;
  /** Those of the prompt; schedule "prefill" sets pages aside for the others. 0 by default. */
  readonly promptTokens?: number;
  /** Bytes the policy may use; without one, pages for every token. */
  readonly budgetBytes?: number;
  readonly layerShares: readonly number[];
  /** Bytes per layer of the statistics that scoring while decoding needs; 0 without a score. */
  readonly statisticsBytesPerLayer: number;
  /** Names the owner in the byte ledger. */
  readonly owner: string;
  /** Largest segment of the pool; what the adapter can bind by default. Smaller in tests. */
  readonly segmentBytes?: number;
}

/** Sizes that follow from model, policy and request. */
export interface CachePlan {
  readonly shape: CacheShape;
  readonly layout: PageLayout;
  readonly pages: readonly number[]; // per layer
  readonly mostPages: readonly number[]; // that a layer can come to have: more where layers are weighed against each other
  readonly maxPages: number; // of one layer
  readonly pinnedPages: number; // that pinned slots take of every layer
  readonly headroom: readonly Headroom[]; // per layer: what a judgement leaves free of its pages
  readonly totalPages: number;
  readonly ringSlots: number; // sinks + ring
  readonly ringBits: RingBits; // of a channel there
  readonly tableStride: number; // words of a layer's table, means and extra rows
  readonly meanStart: number; // words from a layer's table to its means
  readonly ringPlane: number; // words
  readonly openPlane: number; // words, where the ring is read in f16 pairs
  /** Rows of every kv head beside sinks and ring: markers, then guests; they stand behind the means. */
  readonly extras: ExtraRows;
  readonly extraStart: number; // words from a layer's table to its extra rows
  readonly statisticsStride: number; // bytes
  readonly statisticsBytes: number; // of all layers, and of what slots in pages received (tracker)
  /** Where layers do not read all they hold. */
  readonly reading?: ReadPlan;
  readonly units: number;
  readonly geometry: CacheGeometry;
  readonly tokens: number;
  readonly owner: string;
  /** By format: squared errors of keys and values over |x - mean|^2. */
  readonly errors: readonly { readonly key: number; readonly value: number }[];
  /** The model's calibrated bases; absent where no format needs them. */
  readonly bases?: GPUBuffer;
}

const UNIT = 128;

/**
 * @param codec the model's calibration: its measured errors stand for every format's
 * Throws BAD_OPTION where a format needs a calibration and there is none, or one of another model's shape.
 */
export function planCache(gpu: Gpu, config: ModelConfig, policy: Policy, request: CacheRequest, codec?: Codec): CachePlan {
  const shape: CacheShape = { layers: config.layers, kvHeads: config.kvHeads, headSize: config.headSize };
  checkCodec(config, codec);
  const errors = policy.formats.map((format) => relativeErrors(format, codec?.calibration));
  const ringSlots = policy.sinks + policy.ring;
  const full = request.tokens * fullBytesPerToken(shape);
  const expected = Math.min(request.budgetBytes ?? full, full) / (shape.layers * shape.kvHeads);
  const statisticsStride = Math.ceil(request.statisticsBytesPerLayer / 256) * 256;
  const tracked = trackerBytes(policy, shape, request.tokens);
  const extras = { markers: policy.markers.count, guests: policy.guests, guestBits: policy.guestBits };
  const fixed = {
    numFormats: policy.formats.length,
    slack: policy.budget.slack,
    ringSlots,
    ringBits: policy.ringBits,
    extras,
    statisticsBytes: statisticsStride * shape.layers + tracked,
  };
  const readingOf = readPlanner(policy, config, { tokens: request.tokens, expected, ringSlots });
  const fixedOf = (candidate: PageLayout): FixedParts =>
    policy.read.kind === "all" ? fixed : { ...fixed, readBytes: (most) => readBytes(readingOf(candidate, most), shape.layers) };
  const aside = (candidate: PageLayout): number => pagesAside(policy, candidate, shape, request);
  const affordable = (candidate: PageLayout): boolean =>
    request.budgetBytes === undefined ||
    cacheBytes(shape, candidate, fixedOf(candidate), Array<number>(shape.layers).fill(shape.kvHeads + aside(candidate))) <= request.budgetBytes;
  const layout = choosePageLayout(policy.formats, shape.headSize, expected, affordable);
  const pages =
    policy.mode !== "static" && request.budgetBytes !== undefined
      ? pagesPerLayer(shape, layout, { ...fixedOf(layout), aside: aside(layout) }, { bytes: request.budgetBytes, shares: request.layerShares }).map((share) =>
          Math.min(share, mostPages(policy, layout, shape, request)),
        )
      : Array<number>(shape.layers).fill(pagesForAll(policy, layout, shape, request.tokens));
  const headroom = pages.map((count) => headroomOf(policy, layout, shape, request, count));
  const judged = pages.map((count, layer) => count - (headroom[layer]?.pages ?? 0));
  const pinnedPages = pagesForPinned(policy, layout, judged, shape, request.tokens);
  const most = Math.max(...pages, mostPages(policy, layout, shape, request));
  const maxPages = Math.min(most, Math.ceil(Math.max(...pages) * policy.budget.slack));
  const group = config.heads / config.kvHeads;
  const unit = group > 8 ? UNIT / 2 : UNIT;
  const sparse = policy.formats.some(({ basis }) => basis === "none");
  const reading = readingOf(layout, maxPages);
  const meanStart = tableWords(shape, policy.formats.length, maxPages);
  const extraStart = meanStart + meanWords(shape);
  return {
    shape,
    layout,
    pages,
    mostPages: policy.budget.weighsLayers ? pages.map(() => maxPages) : pages,
    maxPages,
    pinnedPages,
    headroom,
    totalPages: pages.reduce((a, b) => a + b, 0),
    ringSlots,
    ringBits: policy.ringBits,
    tableStride: extraStart + extraWords(shape, extras),
    meanStart,
    extras,
    extraStart,
    ringPlane: ringPlaneWords(shape, ringSlots, policy.ringBits),
    openPlane: ringPlaneWords(shape, ringSlots, 16),
    statisticsStride,
    statisticsBytes: fixed.statisticsBytes,
    ...(reading && { reading }),
    units: unitsBeforePages({ ringSlots, extras }, unit) + policy.formats.length + Math.ceil(request.tokens / unit),
    geometry: { headSize: shape.headSize, kvHeads: shape.kvHeads, group, unit, segmentPages: segmentPages(gpu, pages, layout, request.segmentBytes), sparse },
    tokens: request.tokens,
    owner: request.owner,
    errors,
    ...(codec && policy.formats.some(({ basis }) => basis === "klt") && { bases: codec.bases }),
  };
}

/** Pages of a layer that hold every token but the sinks and the newer half of the ring, in the smallest format. */
export function pagesForAll(policy: Policy, layout: PageLayout, shape: CacheShape, tokens: number): number {
  const slots = Math.max(0, tokens - policy.sinks - Math.floor(policy.ring / 2));
  return shape.kvHeads * Math.max(1, Math.ceil(slots / (layout.slotsPerPage[0] ?? 1)));
}

/** Pages of a layer that hold every token in the richest format, however they are spread over formats, and what a judgement leaves free: no budget needs more. */
function mostPages(policy: Policy, layout: PageLayout, shape: CacheShape, request: CacheRequest): number {
  const all = shape.kvHeads * (Math.ceil(request.tokens / Math.min(...layout.slotsPerPage)) + policy.formats.length);
  return all + (policy.schedule.kind === "prefill" ? 0 : headroomOf(policy, layout, shape, request, all).pages);
}

/** Pinned slots are never dropped, so every layer must have room for all of them at their floor. Throws BUDGET_TOO_SMALL. */
function pagesForPinned(policy: Policy, layout: PageLayout, pages: readonly number[], shape: CacheShape, tokens: number): number {
  if (policy.mode === "static" || policy.pinned.length === 0) return 0;
  const slots = layout.slotsPerPage[policy.formats.findIndex(isFloor)] ?? 1;
  const positions = Array.from({ length: tokens }, (_, position) => position).filter((position) =>
    policy.pinned.some(([start, end]) => position >= start && position < end),
  );
  const needed = shape.kvHeads * Math.ceil(positions.length / slots);
  const least = Math.min(...pages);
  if (needed > least)
    throw new EngineError(
      "BUDGET_TOO_SMALL",
      `${positions.length} pinned tokens need ${needed} pages in every layer, the budget gives one layer ${least}. Raise the budget or pin less.`,
      { found: least, expected: needed },
    );
  return needed;
}

/** Pages per segment where the pool does not fit one binding, else 0. */
function segmentPages(gpu: Gpu, pages: readonly number[], { pageBytes }: PageLayout, segmentBytes?: number): number {
  const most = segmentBytes ?? Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  const total = pages.reduce((a, b) => a + b, 0);
  if (total * pageBytes <= most) return 0;
  const perSegment = Math.ceil(total / MOST_SEGMENTS);
  if (perSegment * pageBytes > most)
    throw new EngineError(
      "OUT_OF_MEMORY",
      `The cache needs ${total * pageBytes} bytes of pages, this adapter takes ${MOST_SEGMENTS} times ${most}. Use fewer tokens, or a policy that compresses.`,
      { found: MOST_SEGMENTS * most, expected: total * pageBytes },
    );
  return perSegment;
}

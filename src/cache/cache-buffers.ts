// cache-buffers: every GPU buffer of one cache, sized once from the shape, the policy and the bytes it may use.
// Leaves to others: what is written into them.

import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { CacheGeometry } from "../kernels/cache-kernel";
import { MOST_SEGMENTS } from "../kernels/cache-kernel";
import { queryFloats } from "../kernels/query-transform";
import type { ModelConfig } from "../model/model-config";
import { type Policy, needsBudget } from "../policy/policy";
import { RELATIVE_ERROR } from "./formats";
import { type CacheShape, type PageLayout, choosePageLayout, fullBytesPerToken, meanWords, pagesPerLayer, ringPlaneWords, tableWords } from "./page-layout";

export interface CacheRequest {
  /** Tokens the cache must take at most: prompt and new ones. */
  readonly tokens: number;
  /** Bytes the policy may use; without one, pages for every token. */
  readonly budgetBytes?: number;
  readonly layerShares: readonly number[];
  /** Bytes per layer of the statistics that scoring while decoding needs; 0 without a score. */
  readonly statisticsBytesPerLayer: number;
  /** Names the owner in the byte ledger. */
  readonly owner: string;
}

/** Sizes that follow from model, policy and request. */
export interface CachePlan {
  readonly shape: CacheShape;
  readonly layout: PageLayout;
  readonly pages: readonly number[]; // per layer
  readonly maxPages: number; // of one layer
  readonly ringSlots: number; // sinks + ring
  readonly tableStride: number; // words
  readonly ringPlane: number; // words
  readonly meanStride: number; // words
  readonly statisticsStride: number; // bytes
  readonly units: number;
  readonly geometry: CacheGeometry;
  readonly tokens: number;
  readonly owner: string;
}

const UNIT = 128;

export function planCache(gpu: Gpu, config: ModelConfig, policy: Policy, request: CacheRequest): CachePlan {
  const shape: CacheShape = { layers: config.layers, kvHeads: config.kvHeads, headSize: config.headSize };
  const ringSlots = policy.sinks + policy.ring;
  const expected = (request.budgetBytes ?? request.tokens * fullBytesPerToken(shape)) / (shape.layers * shape.kvHeads);
  const layout = choosePageLayout(policy.formats, shape.headSize, expected);
  const statisticsStride = Math.ceil(request.statisticsBytesPerLayer / 256) * 256;
  const statisticsBytes = statisticsStride * shape.layers;
  const pages = needsBudget(policy) && request.budgetBytes !== undefined
    ? pagesPerLayer(shape, layout, policy.formats.length, { bytes: request.budgetBytes, ringSlots, statisticsBytes, shares: request.layerShares })
    : Array<number>(shape.layers).fill(shape.kvHeads * Math.max(1, Math.ceil(request.tokens / (layout.slotsPerPage[0] ?? 1))));
  const maxPages = Math.max(...pages);
  const total = pages.reduce((a, b) => a + b, 0);
  const segmentBytes = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  const single = total * layout.pageBytes <= segmentBytes;
  const group = config.heads / config.kvHeads;
  const unit = group > 8 ? UNIT / 2 : UNIT;
  return {
    shape,
    layout,
    pages,
    maxPages,
    ringSlots,
    tableStride: tableWords(shape, policy.formats.length, maxPages),
    ringPlane: ringPlaneWords(shape, ringSlots),
    meanStride: meanWords(shape),
    statisticsStride,
    units: Math.ceil(ringSlots / unit) + policy.formats.length + Math.ceil(request.tokens / unit),
    geometry: { headSize: shape.headSize, kvHeads: shape.kvHeads, group, unit, segmentPages: single ? 0 : Math.ceil(total / MOST_SEGMENTS) },
    tokens: request.tokens,
    owner: request.owner,
  };
}

/** The buffers. Role `kv` is what the budget pays for; `scratch` is the working space of compression and attention. */
export class CacheBuffers {
  readonly pool: readonly GPUBuffer[]; // pages
  readonly tables: GPUBuffer; // (L, tableStride) u32
  readonly free: GPUBuffer; // head, tail, capacity, error, page ids
  readonly ring: GPUBuffer; // (L, 2, ringPlane) u32: keys and values, (G, ringSlots, D/2) f16 pairs
  readonly means: GPUBuffer; // (L, meanStride) u32: (G, 2, D/2) f16 pairs
  readonly statistics: GPUBuffer; // (L, statisticsStride bytes)
  readonly info: GPUBuffer; // CacheInfo
  readonly units: GPUBuffer; // vec4u
  readonly queries: GPUBuffer; // (H, 2 D + 4) f32
  readonly partials: GPUBuffer; // (H, units, D + 2) f32
  readonly #all: GPUBuffer[] = [];

  constructor(
    private readonly gpu: Gpu,
    readonly plan: CachePlan,
    config: ModelConfig,
    policy: Policy,
  ) {
    const { shape, layout, geometry, owner } = plan;
    const total = plan.pages.reduce((a, b) => a + b, 0);
    const uniform = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const make = (part: string, bytes: number, role: "kv" | "scratch", usage?: GPUBufferUsageFlags): GPUBuffer => {
      const buffer = gpu.createBuffer(`KvCache.${part}`, bytes, role, { owner, ...(usage ? { usage } : {}) });
      this.#all.push(buffer);
      return buffer;
    };
    const segments = geometry.segmentPages === 0 ? 1 : MOST_SEGMENTS;
    this.pool = Array.from({ length: segments }, (_, index) => {
      const pages = segments === 1 ? total : Math.max(1, Math.min(geometry.segmentPages, total - index * geometry.segmentPages));
      return make(`pool${index}`, pages * layout.pageBytes, "kv");
    });
    this.tables = make("tables", shape.layers * plan.tableStride * 4, "kv");
    this.free = make("free", (4 + total) * 4, "kv");
    this.ring = make("ring", shape.layers * 2 * plan.ringPlane * 4, "kv");
    this.means = make("means", shape.layers * plan.meanStride * 4, "kv");
    this.statistics = make("statistics", shape.layers * plan.statisticsStride, "kv");
    this.info = make("info", 304, "scratch", uniform);
    this.units = make("units", 16, "scratch", uniform);
    this.queries = make("queries", config.heads * queryFloats(shape.headSize) * 4, "scratch");
    this.partials = make("partials", config.heads * plan.units * (shape.headSize + 2) * 4, "scratch");
    gpu.write(this.info, 0, cacheInfo(plan, policy));
    gpu.write(this.units, 0, new Uint32Array([plan.units, 0, 0, 0]));
    gpu.write(this.free, 0, new Uint32Array([0, total, total, 0, ...Array.from({ length: total }, (_, page) => page)]));
    const tables = new Uint32Array(shape.layers * plan.tableStride);
    plan.pages.forEach((pages, layer) => tables.set([pages, 0, layer, 0], layer * plan.tableStride));
    gpu.write(this.tables, 0, tables);
  }

  table(layer: number): BufferView {
    return view(this.tables, layer, this.plan.tableStride * 4);
  }

  ringKeys(layer: number): BufferView {
    return view(this.ring, 2 * layer, this.plan.ringPlane * 4);
  }

  ringValues(layer: number): BufferView {
    return view(this.ring, 2 * layer + 1, this.plan.ringPlane * 4);
  }

  /** Keys and values of a layer's ring in one view: (2, ringPlane) u32. */
  ringRows(layer: number): BufferView {
    return view(this.ring, layer, 2 * this.plan.ringPlane * 4);
  }

  mean(layer: number): BufferView {
    return view(this.means, layer, this.plan.meanStride * 4);
  }

  dispose(): void {
    for (const buffer of this.#all) this.gpu.destroyBuffer(buffer);
  }
}

function view(buffer: GPUBuffer, index: number, bytes: number): BufferView {
  return { buffer, offset: index * bytes, size: bytes };
}

/** shaders/lib/cache.wgsl's CacheInfo. */
function cacheInfo(plan: CachePlan, policy: Policy): ArrayBufferView {
  const data = new DataView(new ArrayBuffer(304));
  const u32 = (word: number, value: number): void => data.setUint32(word * 4, value, true);
  const f32 = (word: number, value: number): void => data.setFloat32(word * 4, value, true);
  u32(0, policy.formats.length);
  u32(1, { static: 0, tiers: 1, "rate-distortion": 2 }[policy.mode]);
  u32(2, policy.perHead ? 1 : 0);
  f32(3, policy.safeguard);
  u32(4, policy.sinks);
  u32(5, plan.ringSlots);
  u32(6, plan.layout.pageWords);
  u32(7, policy.pinned.length);
  f32(8, policy.kappa);
  f32(9, policy.power);
  u32(10, plan.maxPages);
  policy.pinned.forEach(([start, end], index) => {
    u32(12 + 4 * index, start);
    u32(13 + 4 * index, end);
  });
  policy.formats.forEach((format, index) => {
    const at = 28 + 8 * index;
    const slots = plan.layout.slotsPerPage[index] ?? 1;
    u32(at, format.keyBits);
    u32(at + 1, format.valueBits);
    u32(at + 2, plan.layout.slotWords[index] ?? 0);
    u32(at + 3, slots);
    f32(at + 4, RELATIVE_ERROR[format.keyBits]);
    f32(at + 5, RELATIVE_ERROR[format.valueBits]);
    f32(at + 6, policy.thresholds[index] ?? 1);
    f32(at + 7, plan.layout.pageBytes / slots);
  });
  return new Uint8Array(data.buffer);
}


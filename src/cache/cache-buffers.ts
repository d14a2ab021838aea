// cache-buffers: every GPU buffer of one cache, sized once by its plan.
// Leaves to others: the sizes (cache-plan), what is written into the buffers.

import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import { MOST_SEGMENTS } from "../kernels/cache-kernel";
import type { ModelConfig } from "../model/model-config";
import type { Policy } from "../policy/policy";
import { basesView } from "./bases";
import { cacheInfo, INFO_BYTES } from "./cache-info";
import type { CachePlan } from "./cache-plan";
import { clearExtraRows } from "./extra-rows";

/**
 * The buffers. Role `kv` is what the budget pays for and all that a cache remembers from one step to the next: a snapshot copies these and no others.
 * `scratch` is the working space of compression and attention.
 */
export class CacheBuffers {
  readonly pool: GPUBuffer[]; // segments of pages; one not yet needed is a stand-in of a few bytes
  readonly tables: GPUBuffer; // (L, tableStride) u32: a layer's table, its means from meanStart on, (G, 2, D/2) f16 pairs, its extra rows from extraStart on
  readonly free: GPUBuffer; // head, tail, capacity, error, page ids
  readonly ring: GPUBuffer; // (L, 2, ringPlane) u32: keys and values, (G, ringSlots, ringRowWords)
  readonly opened: GPUBuffer | undefined; // (2, openPlane) u32: rows of one layer's coded ring while it is compressed
  readonly statistics: GPUBuffer; // (L, statisticsStride bytes), then the tracker's planes
  readonly info: GPUBuffer; // CacheInfo
  readonly units: GPUBuffer; // vec4u
  readonly partials: GPUBuffer; // (H, units, D + 2) f32
  readonly #all: GPUBuffer[] = [];
  readonly #kept: GPUBuffer[] = []; // of role kv, but for the pool
  #segments = 0;

  constructor(
    private readonly gpu: Gpu,
    readonly plan: CachePlan,
    config: ModelConfig,
    policy: Policy,
  ) {
    const { shape, geometry, owner } = plan;
    const total = plan.totalPages;
    const uniform = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const make = (part: string, bytes: number, role: "kv" | "scratch", usage?: GPUBufferUsageFlags): GPUBuffer => {
      const buffer = gpu.createBuffer(`KvCache.${part}`, bytes, role, { owner, ...(usage ? { usage } : {}) });
      this.#all.push(buffer);
      if (role === "kv" && !part.startsWith("pool")) this.#kept.push(buffer);
      return buffer;
    };
    this.pool = Array.from({ length: geometry.segmentPages === 0 ? 1 : MOST_SEGMENTS }, (_, index) => make(`pool${index}`, 0, "kv"));
    this.grow(policy.mode === "static" ? 1 : total);
    this.tables = make("tables", shape.layers * plan.tableStride * 4, "kv");
    this.free = make("free", (4 + total) * 4, "kv");
    this.ring = make("ring", shape.layers * 2 * plan.ringPlane * 4, "kv");
    this.opened = plan.ringBits === 8 ? make("opened", 2 * plan.openPlane * 4, "scratch") : undefined;
    this.statistics = make("statistics", plan.statisticsBytes, "kv");
    this.info = make("info", INFO_BYTES, "scratch", uniform);
    this.units = make("units", 16, "scratch", uniform);
    this.partials = make("partials", config.heads * plan.units * (shape.headSize + 2) * 4, "scratch");
    gpu.write(this.info, 0, cacheInfo(plan, policy));
    gpu.write(this.units, 0, new Uint32Array([plan.units, 0, 0, 0]));
    this.#writeEmpty();
  }

  /** Buffers of role kv that others made, and destroy: part of every copy. */
  remember(...buffers: readonly GPUBuffer[]): void {
    this.#kept.push(...buffers);
  }

  /** What a copy of this cache must hold: the segments of the pool that exist stand last. */
  get kept(): readonly GPUBuffer[] {
    return [...this.#kept, ...this.pool.slice(0, this.#segments)];
  }

  /** Makes the segments that another cache of the same plan has. @returns as grow() */
  growAs(segments: number): boolean {
    const { totalPages, geometry } = this.plan;
    return this.grow(segments === 0 ? 0 : (segments - 1) * (geometry.segmentPages || totalPages) + 1);
  }

  /** Segments of the pool that exist. */
  get segments(): number {
    return this.#segments;
  }

  /** As new: nothing of what they held can be read. */
  reset(): void {
    const recorder = this.gpu.record("KvCache.reset");
    for (const buffer of this.kept) recorder.clear(buffer);
    recorder.submit();
    this.#writeEmpty();
  }

  #writeEmpty(): void {
    const { gpu, plan } = this;
    const { shape, totalPages: total } = plan;
    gpu.write(this.free, 0, new Uint32Array([0, total, total, 0, ...Array.from({ length: total }, (_, page) => page)]));
    const tables = new Uint32Array(shape.layers * plan.tableStride);
    for (const [layer, pages] of plan.pages.entries()) tables.set([pages - (plan.headroom[layer]?.pages ?? 0), 0, layer, 0], layer * plan.tableStride);
    for (let layer = 0; layer < shape.layers; layer++) clearExtraRows(tables, plan, layer);
    gpu.write(this.tables, 0, tables);
  }

  /**
   * Creates the segments that the first `pages` pages lie in: where one binding does not hold the pool, none is there before it is needed.
   * @returns true if there are new ones, which whoever binds the pool must bind then
   */
  grow(pages: number): boolean {
    const { totalPages, layout, geometry, owner } = this.plan;
    const perSegment = geometry.segmentPages || totalPages;
    const before = this.#segments;
    for (; this.#segments < this.pool.length && this.#segments * perSegment < pages; this.#segments++) {
      const index = this.#segments;
      const bytes = Math.min(perSegment, totalPages - index * perSegment) * layout.pageBytes;
      const segment = this.gpu.createBuffer(`KvCache.pool${index}`, bytes, "kv", { owner });
      this.gpu.destroyBuffer(this.pool[index]);
      this.pool[index] = segment;
      this.#all.push(segment);
    }
    return this.#segments > before;
  }

  /** A layer's table, its means and extra rows behind it. */
  table(layer: number): BufferView {
    return view(this.tables, layer, this.plan.tableStride * 4);
  }

  /** Keys and values of a layer's ring in one view, as they are kept: (2, ringPlane) u32. */
  ringRows(layer: number): BufferView {
    return view(this.ring, layer, 2 * this.plan.ringPlane * 4);
  }

  /** Keys of a layer's ring in f16 pairs, (G, ringSlots, D/2): the ring itself, or where lift-pages opens a coded one, which is any layer's. */
  openKeys(layer: number): BufferView {
    return this.#openPlane(layer, 0);
  }

  openValues(layer: number): BufferView {
    return this.#openPlane(layer, 1);
  }

  /** Both in one view: (2, openPlane) u32. */
  openRows(layer: number): BufferView {
    return this.opened ?? this.ringRows(layer);
  }

  mean(layer: number): BufferView {
    const { tableStride, meanStart, extraStart } = this.plan;
    return { buffer: this.tables, offset: (layer * tableStride + meanStart) * 4, size: (extraStart - meanStart) * 4 };
  }

  /** A layer's calibrated bases, where a format needs them. */
  bases(layer: number): BufferView | undefined {
    const { bases, shape } = this.plan;
    return bases && basesView(bases, shape, layer);
  }

  /** Without the padding between planes: shaders take the rows' number from the binding's size. */
  #openPlane(layer: number, plane: 0 | 1): BufferView {
    const { shape, ringSlots, openPlane } = this.plan;
    const first = this.opened ? plane : 2 * layer + plane;
    return { buffer: this.opened ?? this.ring, offset: first * openPlane * 4, size: shape.kvHeads * ringSlots * shape.headSize * 2 };
  }

  dispose(): void {
    for (const buffer of this.#all) this.gpu.destroyBuffer(buffer);
  }
}

function view(buffer: GPUBuffer, index: number, bytes: number): BufferView {
  return { buffer, offset: index * bytes, size: bytes };
}

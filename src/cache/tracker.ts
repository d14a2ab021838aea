// tracker: what slots in pages receive from the tokens being decoded (AGACC 2.2), by position, and when their importance is recalculated from it (2.6).
// Which plane is filled, which are read and which layers are due follows from the position alone, so that a cache can be copied or gone back with.
// Leaves to others: the arithmetic (page-received, reevaluate), the bytes' place: behind the statistics, which the budget pays for.

import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op, Recorder } from "../gpu/recorder";
import { pageReceived } from "../kernels/page-received";
import { type ReevaluateArgs, reevaluate, WINDOW_BYTES, windowWords } from "../kernels/reevaluate";
import type { Policy } from "../policy/policy";
import type { Reevaluation } from "../policy/reevaluation";
import type { CacheBuffers } from "./cache-buffers";
import type { CachePlan } from "./cache-plan";
import { unitsBeforePages } from "./extra-rows";
import type { CacheShape } from "./page-layout";

/** A layer counts one token of so many, layers in turn: neighbours hardly differ. */
export const COUNTED = 4;

/** Bytes of every plane of received attention; 0 without re-evaluation. @param tokens that a cache can take */
export function trackerBytes({ reevaluate: rule, ring }: Policy, shape: CacheShape, tokens: number): number {
  return rule ? planesOf(rule, ring) * (rule.shared ? 1 : shape.layers) * planeBytes(shape, tokens) : 0;
}

/** Sums are kept by period of `every` tokens; one plane does where a window begins only when all layers have judged by the last. */
export function planesOf({ every, window }: Reevaluation, ring: number): number {
  return window + ring <= every ? 1 : 1 + Math.ceil(window / every);
}

export class Tracker {
  readonly #window: GPUBuffer;
  #count: readonly (readonly Op[])[]; // by plane and layer
  #begun = 0;
  #fresh = true;

  constructor(
    private readonly gpu: Gpu,
    private readonly buffers: CacheBuffers,
    private readonly rule: Reevaluation,
    private readonly ring: number,
    private readonly decode: { readonly step: GPUBuffer; readonly rotated: GPUBuffer },
  ) {
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    this.#window = gpu.createBuffer("Tracker.window", WINDOW_BYTES, "scratch", { owner: buffers.plan.owner, usage });
    this.#count = this.#bind();
    // Compiled with the others, before a prompt: compressions of the ring are bound after it. Never recorded.
    const { info, partials } = buffers;
    this.bindReevaluation({ info, step: info, table: buffers.table(0), counts: partials, candidates: partials, lifted: partials });
  }

  /** The position of the first token decoded: nothing was counted before, and nothing has been (`fresh`) or the sums come with a copy. */
  begin(position: number, fresh: boolean): void {
    this.#begun = position;
    this.#fresh = fresh;
  }

  /** After the pool has grown. */
  rebind(): void {
    this.#count = this.#bind();
  }

  /** After the attention of the token at a position: one dispatch where it is this layer's turn. */
  record(recorder: Recorder, layer: number, position: number): void {
    const { every, window } = this.rule;
    const left = every - (position % every); // tokens of the period, this one included
    if (layer === 0) this.#clear(recorder, position, left);
    if (left > window || (position + layer) % COUNTED !== 0) return;
    this.#count[this.#planeOf(position)]?.[layer]?.record(recorder);
  }

  /** Before the submit of a turn of layers at a position. True if these layers are to judge by what was received: the first time since a period's end. */
  prepare(position: number, turns: number): boolean {
    const { rule, buffers } = this;
    const { plan } = buffers;
    const end = position - (position % rule.every);
    const first = Math.max(this.#begun, end - rule.window);
    if (position - end >= turns || first >= end) return false;
    const planes = planesOf(rule, this.ring);
    const skipped = planes === 1 ? 1 : this.#planeOf(position);
    const sizes = { layers: plan.shape.layers, planes, skipped, planeWords: planeBytes(plan.shape, plan.tokens) / 4, positions: plan.tokens };
    this.gpu.write(this.#window, 0, windowWords({ ...rule, ...sizes, first, end, observed: COUNTED }));
    return true;
  }

  /** What recalculates importance of a layer's candidates, of which `args` are the buffers. */
  bindReevaluation(args: Omit<ReevaluateArgs, "window" | "received">): Op {
    const { buffers } = this;
    const { statistics, plan } = buffers;
    const received = { buffer: statistics, offset: trackerOffset(plan), size: statistics.size - trackerOffset(plan) };
    return reevaluate(this.gpu, plan.geometry, { ...args, window: this.#window, received });
  }

  dispose(): void {
    this.gpu.destroyBuffer(this.#window);
  }

  #planeOf(position: number): number {
    return Math.floor(position / this.rule.every) % planesOf(this.rule, this.ring);
  }

  /** A plane is emptied before its period's first token that counts; all of them before the first of all. */
  #clear(recorder: Recorder, position: number, left: number): void {
    const { buffers, rule } = this;
    const { plan, statistics } = buffers;
    const bytes = (rule.shared ? 1 : plan.shape.layers) * planeBytes(plan.shape, plan.tokens);
    if (this.#fresh) recorder.clear(statistics, trackerOffset(plan), statistics.size - trackerOffset(plan));
    else if (left === Math.min(rule.every, rule.window)) recorder.clear(statistics, trackerOffset(plan) + this.#planeOf(position) * bytes, bytes);
    this.#fresh = false;
  }

  #bind(): readonly (readonly Op[])[] {
    const { gpu, buffers, rule, decode } = this;
    const { plan, statistics } = buffers;
    const { shape, geometry } = plan;
    const pageUnits = plan.units - unitsBeforePages(plan, geometry.unit);
    return Array.from({ length: planesOf(rule, this.ring) }, (_, plane) =>
      Array.from({ length: shape.layers }, (__, layer) => {
        const index = rule.shared ? plane : plane * shape.layers + layer;
        const received: BufferView = {
          buffer: statistics,
          offset: trackerOffset(plan) + index * planeBytes(shape, plan.tokens),
          size: shape.kvHeads * plan.tokens * 4,
        };
        const shared = { info: buffers.info, units: buffers.units, partials: buffers.partials, bases: buffers.bases(layer), pool: buffers.pool };
        return pageReceived(gpu, geometry, { ...shared, ...decode, table: buffers.table(layer), received, pageUnits });
      }),
    );
  }
}

function trackerOffset({ shape, statisticsStride }: CachePlan): number {
  return shape.layers * statisticsStride;
}

function planeBytes({ kvHeads }: CacheShape, tokens: number): number {
  return Math.ceil((kvHeads * tokens * 4) / 256) * 256;
}

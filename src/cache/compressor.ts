// compressor: the chain gather -> choose -> encode (-> markers) over one source of slots: the prompt's staging buffer, or the ring.
// Everything is bound once, for every layer; recording creates nothing and reads nothing back.

import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op, Recorder } from "../gpu/recorder";
import { bindChooseFormats } from "../kernels/choose-formats";
import { bindEncodeSlots } from "../kernels/encode-slots";
import { bindFoldMarkers } from "../kernels/fold-markers";
import { bindGatherSlots } from "../kernels/gather-slots";
import { bindLiftPages } from "../kernels/lift-pages";
import { bindPlaceMarkers } from "../kernels/place-markers";
import { bindSlotMeans } from "../kernels/slot-means";
import type { CacheBuffers } from "./cache-buffers";
import type { SelectiveReader } from "./selective-reader";
import type { Tracker } from "./tracker";

/** Where slots come from. */
export interface SlotSource {
  /** Keys, then values: (2, G, capacity, D/2) u32, f16 pairs. One view per layer, or the same for all. */
  readonly rows: (layer: number) => BufferView;
  readonly capacity: number;
  readonly planeWords: number;
  /** Rows that wrap, and where they begin; wrap 0 for none. */
  readonly wrap: number;
  readonly baseRow: number;
  /** Words to the rows' positions, where they are no neighbours; default 0: they are. */
  readonly positionStart?: number;
  /** (G, importanceStride) f32 by row, and E|q|^2 (G) f32; absent where the policy has no score. */
  readonly importance?: {
    readonly scores: (layer: number) => BufferView;
    readonly stride: number;
    readonly queryEnergy: (layer: number) => BufferView;
    /** What the layer at hand asks for, (1) f32, where layers are weighed by that. */
    readonly preference?: GPUBuffer | undefined;
  };
}

/** One compression: which slots come in. shaders/lib/compress-step.wgsl. */
export interface Intake {
  readonly count: number;
  readonly firstPosition: number;
  readonly firstRow: number;
  /** Rows from firstRow on that the means are taken over, if they are: the slots that come in and newer ones that stay. */
  readonly meanRows: number;
  /** Position of the next token: what is recent is so from there. */
  readonly now: number;
  /** All slots get the formats that they are worth; else those in pages keep theirs, and those that come in get the richest. */
  readonly judged: boolean;
}

interface LayerOps {
  readonly means: ReturnType<typeof bindSlotMeans>;
  readonly lift: Op;
  readonly gather: ReturnType<typeof bindGatherSlots>;
  readonly reevaluate?: Op | undefined;
  readonly choose: ReturnType<typeof bindChooseFormats>;
  readonly encode: ReturnType<typeof bindEncodeSlots>;
  /** What is dropped joins them; none where there are no rows for them. */
  readonly markers: readonly Op[];
}

const STEP_WORDS = 16;

export class Compressor {
  /** CompressStep: which slots come in. */
  readonly step: GPUBuffer;
  readonly #lifted: GPUBuffer; // (maxPages, pageWords) u32
  readonly #candidates: GPUBuffer; // (G, numCandidates) vec4u
  readonly #counts: GPUBuffer; // (G) u32
  readonly #blank: GPUBuffer; // stands in for scores where there are none
  readonly #layers: readonly LayerOps[];
  readonly #bounds: ReturnType<SelectiveReader["bindUpdate"]> | undefined;

  /**
   * @param numCandidates most slots per kv head that one compression judges
   * @param existing what happens to slots already in pages: "none" are there (a prompt), they "stay" (static policies), or are "judged" again
   * @param reader whose bounds are brought up to date where not everything is read
   */
  constructor(
    private readonly gpu: Gpu,
    private readonly buffers: CacheBuffers,
    private readonly source: SlotSource,
    private readonly numCandidates: number,
    private readonly existing: "none" | "stay" | "judged",
    role: "scratch" | "staging",
    private readonly tracker?: Tracker | undefined,
    reader?: SelectiveReader,
  ) {
    const { plan } = buffers;
    const heads = plan.shape.kvHeads;
    const make = (part: string, bytes: number): GPUBuffer => gpu.createBuffer(`Compressor.${part}`, bytes, role, { owner: plan.owner });
    this.step = gpu.createBuffer("Compressor.step", STEP_WORDS * 4, role, { owner: plan.owner, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    this.#lifted = make("lifted", existing === "judged" ? plan.maxPages * plan.layout.pageBytes : 16);
    this.#candidates = make("candidates", heads * numCandidates * 16);
    this.#counts = make("counts", heads * 4);
    this.#blank = make("blank", heads * 4);
    this.#layers = Array.from({ length: plan.shape.layers }, (_, layer) => this.#bindLayer(layer));
    this.#bounds = reader?.bindUpdate(this.step, existing === "stay" ? numCandidates : Number.POSITIVE_INFINITY);
  }

  /** Says which slots come in; before the submit that records them. */
  write(intake: Intake): void {
    const { source } = this;
    const words = [intake.count, intake.firstPosition, intake.firstRow, source.baseRow, source.wrap, source.capacity, source.planeWords, this.numCandidates];
    words.push(
      source.importance?.stride ?? 0,
      this.existing === "stay" ? 0 : 1,
      source.importance ? 0 : 1,
      intake.meanRows,
      intake.now,
      intake.judged ? 1 : 0,
      source.positionStart ?? 0,
    );
    this.gpu.write(this.step, 0, new Uint32Array(words));
  }

  /** Takes up what a compression of the layer works on: its pages, and the rows of a ring that is coded. Before all else that is recorded of it, where there are any. */
  recordLift(recorder: Recorder, layer: number): void {
    if (this.existing === "judged" || this.buffers.opened) this.#layers[layer]?.lift.record(recorder);
  }

  /** Sets the layer's means from the incoming slots: once per cache, before anything is coded. */
  recordMeans(recorder: Recorder, layer: number): void {
    this.#layers[layer]?.means.record(recorder);
  }

  /**
   * @param most candidates a head can have at most
   * @param reevaluated importance of slots in pages is recalculated from what they received since
   */
  record(recorder: Recorder, layer: number, most: number, reevaluated = false): void {
    const ops = this.#layers[layer];
    if (!ops) return;
    ops.gather.record(recorder, most);
    if (reevaluated) ops.reevaluate?.record(recorder);
    ops.choose.record(recorder);
    ops.encode.record(recorder, most);
    this.#bounds?.record(recorder, layer);
    for (const op of ops.markers) op.record(recorder);
  }

  dispose(): void {
    for (const buffer of [this.step, this.#lifted, this.#candidates, this.#counts, this.#blank]) this.gpu.destroyBuffer(buffer);
  }

  #bindLayer(layer: number): LayerOps {
    const { gpu, buffers, source } = this;
    const { geometry, extras } = buffers.plan;
    const shared = {
      info: buffers.info,
      step: this.step,
      table: buffers.table(layer),
      lifted: this.#lifted,
      source: source.rows(layer),
      bases: buffers.bases(layer),
      candidates: this.#candidates,
    };
    return {
      means: bindSlotMeans(gpu, geometry, { step: this.step, source: source.rows(layer), means: buffers.mean(layer) }),
      lift: this.#bindLift(layer),
      gather: bindGatherSlots(gpu, geometry, {
        ...shared,
        importance: source.importance?.scores(layer) ?? this.#blank,
        queryEnergy: source.importance?.queryEnergy(layer) ?? this.#blank,
        counts: this.#counts,
      }),
      reevaluate: this.tracker?.bindReevaluation({ ...shared, counts: this.#counts }),
      choose: bindChooseFormats(gpu, geometry, { ...shared, counts: this.#counts, free: buffers.free }),
      encode: bindEncodeSlots(gpu, geometry, { ...shared, pool: buffers.pool }),
      markers:
        extras.markers === 0 || this.existing === "stay"
          ? []
          : [bindPlaceMarkers(gpu, geometry, shared), bindFoldMarkers(gpu, geometry, { ...shared, markers: extras.markers })],
    };
  }

  /** Bound wherever it may come to be recorded later: a prompt's compilation is then the ring's too. */
  #bindLift(layer: number): Op {
    const { buffers, existing } = this;
    const { plan, opened } = buffers;
    const ringIsLifted = this.source.wrap > 0 || existing !== "judged"; // not where a prompt's layers are weighed: its rows are f16 pairs
    const ring = opened && ringIsLifted ? { coded: buffers.ringRows(layer), opened, slots: plan.ringSlots } : undefined;
    const pages = existing === "judged" ? (plan.mostPages[layer] ?? 0) : 0;
    return bindLiftPages(this.gpu, plan.geometry, { info: buffers.info, table: buffers.table(layer), lifted: this.#lifted, pool: buffers.pool, pages, ring });
  }
}

// cache-bench: drives a real KvCache with made-up keys and values, and reads everything back for the f64 twins.

import { createBases } from "../../src/cache/bases";
import type { CacheBuffers } from "../../src/cache/cache-buffers";
import { planCache } from "../../src/cache/cache-plan";
import { KvCache, type RowScores } from "../../src/cache/kv-cache";
import type { PolicySpec, PresetName } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { StepBuffer } from "../../src/gpu/step";
import type { ModelConfig } from "../../src/model/model-config";
import type { Calibration } from "../../src/policy/calibration";
import { type Policy, resolvePolicy } from "../../src/policy/policy";
import { attend } from "../reference/cache-attention";
import { codedRow, half, toHalf } from "../reference/codec";
import { biasBesideGuests } from "../reference/markers";
import { type CacheWords, guestRows, markerRows, type StoredSlot, slotsInPages, slotsInRing } from "../reference/page-table";
import { gaussian, seeded } from "../reference/scoring-case";
import { readWords } from "./cache-checks";

export interface BenchShape {
  readonly D: number;
  readonly G: number;
  readonly group: number;
  readonly layers?: number;
}

export interface BenchOptions {
  readonly tokens: number;
  readonly promptTokens?: number;
  readonly budgetBytes?: number;
  readonly shares?: readonly number[];
  readonly segmentBytes?: number;
  readonly seed?: number;
  readonly calibration?: Calibration;
}

/** What one position of one layer's head holds, before any coding (already f16). */
export interface Truth {
  readonly key: Float64Array;
  readonly value: Float64Array;
  readonly importance: number;
}

let benches = 0;

export class CacheBench {
  readonly policy: Policy;
  readonly cache: KvCache;
  readonly config: ModelConfig;
  /** (layer, head, position) */
  readonly truth: Truth[][][];
  readonly queryEnergy: number;
  readonly #normal: () => number;
  readonly #step: StepBuffer;
  readonly #rotated: GPUBuffer;
  readonly #output: GPUBuffer;
  readonly #owned: GPUBuffer[] = [];
  readonly #centres: Float64Array[];
  #ringScores: GPUBuffer[] = [];

  constructor(
    readonly gpu: Gpu,
    readonly shape: BenchShape,
    policy: PresetName | PolicySpec,
    options: BenchOptions,
  ) {
    const { D, G, group, layers = 2 } = shape;
    this.policy = resolvePolicy(policy);
    this.config = modelConfig(shape, layers);
    this.#normal = gaussian(seeded(options.seed ?? 7));
    this.queryEnergy = D;
    this.truth = Array.from({ length: layers }, () => Array.from({ length: G }, () => []));
    this.#centres = Array.from({ length: layers * G * 2 }, () => this.#vector(1));
    const owner = `Bench${benches++}`;
    this.#step = new StepBuffer(gpu, owner);
    this.#rotated = this.#buffer("rotated", G * group * D * 4);
    this.#output = this.#buffer("output", G * group * D * 4);
    const bases = options.calibration && createBases(gpu, options.calibration, owner);
    if (bases) this.#owned.push(bases);
    const request = {
      tokens: options.tokens,
      layerShares: options.shares ?? Array<number>(layers).fill(1 / layers),
      statisticsBytesPerLayer: 0,
      owner,
      ...(options.budgetBytes === undefined ? {} : { budgetBytes: options.budgetBytes }),
      ...(options.promptTokens === undefined ? {} : { promptTokens: options.promptTokens }),
      ...(options.segmentBytes === undefined ? {} : { segmentBytes: options.segmentBytes }),
    };
    const codec = bases && options.calibration && { calibration: options.calibration, bases };
    const plan = planCache(gpu, this.config, this.policy, request, codec);
    const scored = this.policy.mode !== "static";
    this.cache = new KvCache(
      gpu,
      this.config,
      this.policy,
      plan,
      { step: this.#step.buffer, rotated: this.#rotated, output: this.#output },
      scored ? (buffers) => this.#scoreRing(buffers) : undefined,
    );
  }

  /** What a decoding step's kernels read: the Step and the rotated queries of the layer that append() recorded last. */
  get decode(): { readonly step: GPUBuffer; readonly rotated: GPUBuffer } {
    return { step: this.#step.buffer, rotated: this.#rotated };
  }

  /** Runs a prompt through every layer. */
  async prompt(tokens: number, make: (position: number) => Partial<Truth> = () => ({})): Promise<void> {
    const { D, G } = this.shape;
    const { gpu, cache, truth } = this;
    for (let t = 0; t < tokens; t++) this.#remember(t, make);
    const capacity = tokens + 3; // not the prompt's own length, so that a mix-up shows
    const planeWords = Math.ceil((G * capacity * D) / 2 / 64) * 64;
    const staging = gpu.createBuffer("Bench.staging", 2 * planeWords * 4, "staging");
    const scores = gpu.createBuffer("Bench.scores", G * tokens * 4, "staging");
    const energy = this.#energy();
    const scored = this.policy.mode !== "static" || cache.plan.reading?.turn !== undefined;
    const preference = this.policy.budget.preference && this.#buffer("preference", 16);
    const rowScores = !scored ? undefined : { scores: () => scores, stride: tokens, queryEnergy: () => energy, ...(preference && { preference }) };
    cache.beginPrompt({ rows: staging, capacity, planeWords, tokens }, rowScores);
    await gpu.kernels.ready();
    for (let layer = 0; layer < truth.length; layer++) {
      const words = new Uint32Array(2 * planeWords).fill(0x7e007e00); // NaN where nothing was written
      const importance = new Float32Array(G * tokens);
      truth[layer]?.forEach((rows, head) => {
        rows.forEach(({ key, value, importance: p }, position) => {
          words.set(packHalves(key), ((head * capacity + position) * D) / 2);
          words.set(packHalves(value), planeWords + ((head * capacity + position) * D) / 2);
          importance[head * tokens + position] = p;
        });
      });
      gpu.write(staging, 0, words);
      gpu.write(scores, 0, importance);
      if (preference) gpu.write(preference, 0, Float32Array.of(1 + ((layer * 5) % 7)));
      const recorder = gpu.record();
      cache.recordPrompt(recorder, layer);
      recorder.submit();
    }
    cache.endPrompt(tokens);
    cache.beginDecoding();
    for (const buffer of [staging, scores]) gpu.destroyBuffer(buffer);
  }

  /** Takes one more token in, as a decoding step does; returns each layer's attention output and what f64 attention says; `attention` may be the queries. */
  async append(
    make: (position: number) => Partial<Truth> = () => ({}),
    attention: boolean | Float32Array = true,
  ): Promise<{ got: Float32Array; stored: Float64Array; exact: Float64Array }[]> {
    const { gpu, cache, truth, shape } = this;
    const { D, G, group } = shape;
    const { ringSlots, ringPlane, ringBits } = cache.plan;
    const { turn, ...step } = cache.advance();
    const position = step.firstPosition;
    if (turn) {
      this.#writeRingScores(position);
      const recorder = gpu.record();
      this.#step.write(step);
      cache.recordCompression(recorder, turn);
      recorder.submit();
    }
    this.#remember(position, make);
    this.#step.write(step);
    const results: { got: Float32Array; stored: Float64Array; exact: Float64Array }[] = [];
    for (let layer = 0; layer < truth.length; layer++) {
      truth[layer]?.forEach((rows, head) => {
        const row = rows[position];
        if (!row) return;
        const [key, value] = [row.key, row.value].map((vector) => (ringBits === 8 ? codedRow(vector) : packHalves(vector)));
        if (!key || !value) return;
        const at = layer * 2 * ringPlane + (head * ringSlots + step.keyRow) * key.length;
        gpu.write(cache.buffers.ring, at * 4, key);
        gpu.write(cache.buffers.ring, (at + ringPlane) * 4, value);
      });
      if (!attention) continue;
      const queries = attention === true ? Float32Array.from({ length: G * group * D }, () => this.#normal()) : attention;
      gpu.write(this.#rotated, 0, queries);
      const recorder = gpu.record();
      cache.recordAttention(recorder, layer);
      recorder.submit();
      const got = new Float32Array(await gpu.read(this.#output));
      const words = await this.words();
      const heads = Array.from({ length: G }, (_, head) => [
        ...this.slots(words, layer, head).map(({ key, value }) => ({ key, value })),
        ...this.#rows(words, layer, head),
      ]);
      const each = (from: (head: number) => readonly { key: Float64Array; value: Float64Array }[]): Float64Array =>
        Float64Array.from(
          Array.from({ length: G * group }, (_, h) => Array.from(attend(queries.subarray(h * D, (h + 1) * D), from(Math.floor(h / group))))).flat(),
        );
      results.push({ got, stored: each((head) => heads[head] ?? []), exact: each((head) => truth[layer]?.[head] ?? []) });
    }
    return results;
  }

  /** Markers and guests, as attention sees them. */
  #rows(words: CacheWords, layer: number, head: number): { key: Float64Array; value: Float64Array; bias?: number }[] {
    const guests = guestRows(words, layer, head)
      .filter((row) => row !== undefined)
      .filter(({ waits }) => !waits);
    const back = guests.map(({ position }) => position);
    const markers = markerRows(words, layer, head).map((row, index, all) => {
      const bias = biasBesideGuests(row, index === 0, all[index + 1]?.first ?? 2 ** 32 - 1, back);
      return back.length > 0 && this.policy.markers.kind === "mean" ? { ...row, bias } : row;
    });
    return [...markers, ...guests];
  }

  /** Every slot attention sees beside the extra rows. */
  slots(words: CacheWords, layer: number, head: number): StoredSlot[] {
    return [...slotsInRing(words, layer, head, this.cache.tokens, this.cache.ringStart(layer)), ...slotsInPages(words, layer, head)];
  }

  words(): Promise<CacheWords> {
    return readWords(this.gpu, this.cache);
  }

  dispose(): void {
    this.cache.dispose();
    this.#step.dispose();
    for (const buffer of this.#owned) this.gpu.destroyBuffer(buffer);
  }

  #remember(position: number, make: (position: number) => Partial<Truth>): void {
    const { G } = this.shape;
    this.truth.forEach((heads, layer) => {
      heads.forEach((rows, head) => {
        const [key, value] = [0, 1].map((part) => {
          const centre = this.#centres[(layer * G + head) * 2 + part];
          return this.#vector(0.8).map((x, c) => half(x + (centre?.[c] ?? 0)));
        });
        if (!key || !value) return;
        rows[position] = { key, value, importance: Math.fround(Math.exp(2 * this.#normal()) / 1000), ...make(position) };
      });
    });
  }

  #vector(size: number): Float64Array {
    return Float64Array.from({ length: this.shape.D }, () => half(size * this.#normal()));
  }

  #buffer(part: string, bytes: number): GPUBuffer {
    const buffer = this.gpu.createBuffer(`Bench.${part}`, bytes, "scratch");
    this.#owned.push(buffer);
    return buffer;
  }

  #energy(): GPUBuffer {
    const energy = this.#buffer("queryEnergy", this.shape.G * 4);
    this.gpu.write(energy, 0, new Float32Array(this.shape.G).fill(this.queryEnergy));
    return energy;
  }

  #scoreRing(buffers: CacheBuffers): RowScores {
    const { G } = this.shape;
    const stride = buffers.plan.ringSlots;
    this.#ringScores = this.truth.map((_, layer) => this.#buffer(`ringScores${layer}`, G * stride * 4));
    const energy = this.#energy();
    return { scores: (layer) => this.#ringScores[layer] ?? energy, stride, queryEnergy: () => energy };
  }

  #writeRingScores(position: number): void {
    const { sinks, ring } = this.policy;
    const stride = sinks + ring;
    this.#ringScores.forEach((buffer, layer) => {
      const data = new Float32Array(this.shape.G * stride).fill(Number.NaN);
      this.truth[layer]?.forEach((rows, head) => {
        for (let t = Math.max(sinks, position - ring); t < position; t++) data[head * stride + sinks + (t % ring)] = rows[t]?.importance ?? Number.NaN;
      });
      this.gpu.write(buffer, 0, data);
    });
  }
}

function modelConfig({ D, G, group }: BenchShape, layers: number): ModelConfig {
  const rope = { theta: 10000, pairing: "neighbour" as const, divisors: new Float64Array(D / 2).fill(1), magnitude: 1 };
  return {
    architecture: "llama",
    name: "bench",
    layers,
    hidden: G * group * D,
    ffn: 1,
    heads: G * group,
    kvHeads: G,
    headSize: D,
    vocab: 1,
    context: 8192,
    normEpsilon: 1e-5,
    rope,
  };
}

export function packHalves(values: ArrayLike<number>): Uint32Array {
  return Uint32Array.from({ length: values.length / 2 }, (_, n) => (toHalf(values[2 * n] ?? 0) | (toHalf(values[2 * n + 1] ?? 0) << 16)) >>> 0);
}

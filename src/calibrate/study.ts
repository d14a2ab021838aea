// study: experiments on a model's continuations: how few bits do its keys bear, which layers' errors matter, which shares of the bytes serve it best?
// Leaves to others: running a continuation (replay.ts), costs and choices (shares.ts), what is measured of the text before (statistics.ts).

import { type Format, formatByName } from "../cache/formats";
import { fullBytesPerToken } from "../cache/page-layout";
import type { FormatName } from "../engine-types";
import type { Calibration } from "../policy/calibration";
import type { Replay, Rows } from "./replay";
import {
  type CostRule,
  chooseWithin,
  costsOf,
  costUnder,
  exactBytes,
  type LayerCosts,
  type LayerText,
  type Offer,
  offerOf,
  optimalShares,
  rowsUnder,
  uniformChoice,
} from "./shares";
import type { HeadDims } from "./statistics";

/** Mean KL of coded keys beside values as they were above which the model's keys get more bits, nats. */
export const FLOOR_BOUND = 0.02;

/** What a key floor may be, by rising bits of keys. The last is the cache's own precision. */
const FLOORS: readonly FormatName[] = ["k8v4", "k16v16"];

/** Part of a KL by which one continuation does not tell shares apart. */
const TOLD_APART = 0.05;

/** Ratios of the 16-bit cache that shares are found at. */
const RATIOS = [0.0625, 0.125, 0.25] as const;

export interface StudyLayer extends LayerText {
  readonly residualPower: number;
}

export interface StudyOptions {
  readonly say?: (line: string) => void;
  readonly onProgress?: (stage: "sensitivity" | "shares", done: number, total: number) => void;
}

/** A way to weigh layers' costs; without weights every layer gets the same bytes. */
interface Weighing {
  readonly name: string;
  readonly weights?: readonly number[];
}

export class Study {
  readonly #rule: CostRule;
  #offer: Offer;
  #costs: readonly LayerCosts[];

  /** @param rules the rule at a ratio of the 16-bit cache: a small one has fewer sinks and a shorter ring to pay for */
  constructor(
    private readonly layers: readonly StudyLayer[],
    private readonly rules: (ratio: number) => CostRule,
    private readonly dims: HeadDims,
    private readonly options: StudyOptions = {},
  ) {
    this.#rule = rules(1);
    this.#offer = offerOf(dims.headSize, () => true);
    this.#costs = this.#costsOf();
  }

  /**
   * The format that keys must not fall below, if 4-bit ones move the model too far: of 8 bits, or of 16 where 8 move it too far as well. Keys alone
   * are coded, so that nothing is held against them that their values do. From here on the study offers nothing below the floor.
   */
  async findFloor(replay: Pick<Replay, "divergence">): Promise<FormatName | undefined> {
    let floor: FormatName | undefined;
    for (const next of FLOORS) {
      const tried = formatByName(floor ?? "k4v4");
      const kl = await this.#keysIn(replay, tried);
      const borne = kl <= FLOOR_BOUND;
      this.options.say?.(`keys at ${tried.keyBits} bits: mean KL ${kl.toPrecision(3)}, ${borne ? "at most" : "above"} ${FLOOR_BOUND}`);
      if (borne) break;
      floor = next;
    }
    this.options.say?.(floor ? `key floor ${floor}` : "no key floor");
    if (!floor) return undefined;
    const { keyBits: least } = formatByName(floor);
    this.#offer = offerOf(this.dims.headSize, ({ keyBits }) => keyBits >= least);
    this.#costs = this.#costsOf();
    return floor;
  }

  /** By layer: mean KL with this layer alone at 2 bits, over the layer's cost then. */
  async sensitivities(replay: Replay): Promise<number[]> {
    const offer = offerOf(this.dims.headSize, ({ name }) => name === "k2v2");
    const measured: number[] = [];
    for (const [index, layer] of this.layers.entries()) {
      const costs = costsOf(layer, offer, this.#rule, this.dims);
      const choice = uniformChoice(costs, offer, formatByName("k2v2"));
      const rows = rowsUnder(layer, choice, offer, this.#rule, this.dims);
      const kl = await replay.divergence((at) => (at === index ? rows : undefined), index);
      measured.push(kl / (costUnder(costs, choice, offer) || 1));
      this.options.onProgress?.("sensitivity", index + 1, this.layers.length);
    }
    const middle = [...measured].sort((a, b) => a - b)[Math.floor(measured.length / 2)] || 1;
    return measured.map((value) => Math.max(value, 1e-3 * middle)); // a layer that showed nothing is not free
  }

  /** How to weigh layers: by residual power, by sensitivity, by both, not at all. Sensitivity is one text's, so a part of it may tell more than all. */
  weighings(sensitivity: readonly number[]): Weighing[] {
    const between = (part: number): number[] =>
      this.layers.map(({ residualPower }, layer) => (1 / (residualPower || 1)) ** (1 - part) * (sensitivity[layer] ?? 1) ** part);
    return [
      { name: "1 / residual power", weights: between(0) },
      { name: "a quarter of the way to sensitivity", weights: between(1 / 4) },
      { name: "geometric mean", weights: between(1 / 2) },
      { name: "sensitivity", weights: between(1) },
      { name: "equal" },
    ];
  }

  /** By ratio, the shares under which the continuation moves least; of those that it does not tell apart the ones that lean least on sensitivity. */
  async bestShares(replay: Pick<Replay, "divergence">, sensitivity: readonly number[]): Promise<Calibration["shares"]> {
    const weighings = this.weighings(sensitivity);
    const rows: { ratio: number; shares: number[] }[] = [];
    for (const ratio of RATIOS) {
      const tried: { readonly name: string; readonly shares: number[]; readonly kl: number }[] = [];
      for (const weighing of weighings) {
        const shares = this.shares(ratio, weighing);
        tried.push({ name: weighing.name, shares, kl: await replay.divergence((layer) => this.#under(layer, ratio, shares)) });
        this.options.onProgress?.("shares", RATIOS.indexOf(ratio) * weighings.length + tried.length, RATIOS.length * weighings.length);
      }
      const bound = (1 + TOLD_APART) * Math.min(...tried.map(({ kl }) => kl));
      const chosen = tried.reduceRight((later, next) => (next.kl <= bound ? next : later)); // the first within the bound
      rows.push({ ratio, shares: chosen.shares });
      this.options.say?.(`shares at ${100 * ratio} %: ${chosen.name}; KL ${tried.map(({ name, kl }) => `${name} ${kl.toPrecision(3)}`).join(", ")}`);
    }
    return rows;
  }

  /** Without measuring: between 1 / residual power and nothing. */
  plainShares(): Calibration["shares"] {
    const weights = this.layers.map(({ residualPower }) => Math.sqrt(1 / (residualPower || 1)));
    return RATIOS.map((ratio) => ({ ratio, shares: this.shares(ratio, { name: "plain", weights }) }));
  }

  shares(ratio: number, { weights }: Weighing): number[] {
    const { length } = this.layers;
    if (!weights) return Array<number>(length).fill(1 / length);
    return optimalShares(this.#costs, weights, this.#offer, { rule: this.rules(ratio), dims: this.dims, tokens: this.#tokens, ratio });
  }

  get #tokens(): number {
    return this.layers[0]?.tokens ?? 0;
  }

  #costsOf(): LayerCosts[] {
    return this.layers.map((layer) => costsOf(layer, this.#offer, this.#rule, this.dims));
  }

  /** A layer's rows with its share of a budget. */
  #under(index: number, ratio: number, shares: readonly number[]): Rows | undefined {
    const [layer, costs] = [this.layers[index], this.#costs[index]];
    if (!layer || !costs) return undefined;
    const { kvHeads, headSize } = this.dims;
    const total = ratio * this.#tokens * fullBytesPerToken({ layers: this.layers.length, kvHeads, headSize });
    const choice = chooseWithin(costs, total * (shares[index] ?? 0) - exactBytes(this.rules(ratio), this.dims), this.#offer);
    return rowsUnder(layer, choice, this.#offer, this.#rule, this.dims);
  }

  /** Mean KL with the keys of every judged slot of every layer in one format, values as they were. */
  async #keysIn(replay: Pick<Replay, "divergence">, format: Format): Promise<number> {
    const offer = offerOf(this.dims.headSize, ({ name }) => name === format.name);
    return replay.divergence((index) => {
      const layer = this.layers[index];
      const slots = this.#costs[index]?.slots ?? 0;
      return layer && { ...rowsUnder(layer, uniformChoice({ slots }, offer, format), offer, this.#rule, this.dims), values: layer.values };
    });
  }
}

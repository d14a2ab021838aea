// marker-case: follows a cache's markers with their f64 twin: what each compression dropped is found by reading the cache before and after it.

import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import type { Calibration } from "../../src/policy/calibration";
import { type Dropped, foldMarkers, type Marker } from "../reference/markers";
import { type ExtraRow, markerRows } from "../reference/page-table";
import { type BenchShape, CacheBench, type Truth } from "./cache-bench";

export const NOWHERE = 0xffffffff;

export class MarkerCase {
  readonly bench: CacheBench;
  /** By layer and head. */
  want: Marker[][][];

  constructor(
    gpu: Gpu,
    readonly shape: BenchShape,
    policy: PolicySpec,
    options: { readonly tokens: number; readonly budgetBytes: number; readonly calibration?: Calibration },
  ) {
    this.bench = new CacheBench(gpu, shape, policy, options);
    this.want = this.bench.truth.map((heads) => heads.map(() => []));
  }

  async prompt(tokens: number, make: (position: number) => Partial<Truth> = () => ({})): Promise<void> {
    const { bench } = this;
    await bench.prompt(tokens, make);
    const kept = await this.#slots();
    this.#fold((layer, head) => {
      const slots = kept[layer]?.[head] ?? new Map<number, Dropped>();
      return { firstPosition: bench.policy.sinks, existing: false, dropped: this.#truths(layer, head, tokens).filter(({ position }) => !slots.has(position)) };
    });
  }

  /** One more token; `attention` as in CacheBench. */
  async append(make: (position: number) => Partial<Truth> = () => ({}), attention = false): ReturnType<CacheBench["append"]> {
    const { bench } = this;
    const [before, starts] = [await this.#slots(), this.#starts()];
    const tokens = bench.cache.tokens;
    const results = await bench.append(make, attention);
    const after = await this.#slots();
    const moved = this.#starts().map((start, layer) => start !== starts[layer]);
    this.#fold((layer, head) => {
      const [had, has] = [before[layer]?.[head], after[layer]?.[head]];
      const firstPosition = starts[layer] ?? 0;
      if (!moved[layer] || !had || !has) return undefined;
      const incoming = this.#truths(layer, head, tokens).filter(({ position }) => position >= firstPosition);
      const stored = [...had.values()].filter(({ position }) => position < firstPosition);
      return { firstPosition, existing: stored.length > bench.policy.sinks, dropped: [...stored, ...incoming].filter(({ position }) => !has.has(position)) };
    });
    return results;
  }

  /** The cache's own markers, those of no span left out. */
  async got(): Promise<ExtraRow[][][]> {
    const words = await this.bench.words();
    return this.want.map((heads, layer) => heads.map((_, head) => markerRows(words, layer, head).filter(({ first }) => first !== NOWHERE)));
  }

  #fold(of: (layer: number, head: number) => Parameters<typeof foldMarkers>[1] | undefined): void {
    const most = this.bench.policy.markers.count;
    this.want = this.want.map((heads, layer) =>
      heads.map((markers, head) => {
        const compression = of(layer, head);
        return compression ? foldMarkers(markers, compression, most) : markers;
      }),
    );
  }

  #truths(layer: number, head: number, tokens: number): Dropped[] {
    return (this.bench.truth[layer]?.[head] ?? []).slice(0, tokens).map((slot, position) => ({ ...slot, position }));
  }

  #starts(): number[] {
    return this.want.map((_, layer) => this.bench.cache.ringStart(layer));
  }

  /** Slots that attention sees beside the markers, by layer, head and position. */
  async #slots(): Promise<Map<number, Dropped>[][]> {
    const words = await this.bench.words();
    return this.want.map((heads, layer) => heads.map((_, head) => new Map(this.bench.slots(words, layer, head).map((slot) => [slot.position, slot]))));
  }
}

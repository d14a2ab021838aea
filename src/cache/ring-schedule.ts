// ring-schedule: which layers compress their ring before which token, and what every layer's ring holds. Layers take turns, so that the work
// is spread over the tokens between two compressions of a layer. Leaves to others: the compression itself (compressor, kv-cache).

/** What the layers of one turn move from their rings to pages: `count` tokens from `firstPosition` on, out of `held`. */
export interface RingTurn {
  readonly layers: readonly number[];
  readonly firstPosition: number;
  readonly count: number;
  readonly held: number;
  /** True the first time tokens of these layers are coded: the means are not known yet. */
  readonly needsMeans: boolean;
  /** All slots of these layers are judged; else what comes in is appended, and the others stay as they are. */
  readonly judged: boolean;
}

/** What a schedule remembers, by turn. */
export interface RingState {
  readonly oldest: readonly number[];
  readonly hasMeans: readonly boolean[];
  readonly unjudged: readonly number[];
}

/** Positions of the ring's tokens by turn of layers. All layers keep a token in the same row of the ring, position % ring. */
export class RingSchedule {
  readonly #layers: readonly (readonly number[])[]; // by turn
  #oldest: number[]; // position of the oldest token in the ring, by turn
  #hasMeans: boolean[]; // by turn
  #unjudged: number[]; // tokens appended since the last judgement, by turn
  readonly #mostUnjudged: readonly number[]; // by turn: what every layer of it has room for
  readonly #newer: number; // tokens that a compression leaves in the ring

  /** @param unjudged tokens that may be appended to a layer before it must be judged (headroom), by layer; none by default */
  constructor(
    private readonly layers: number,
    private readonly sinks: number,
    private readonly ring: number,
    unjudged: readonly number[] = [],
  ) {
    this.#newer = Math.floor(ring / 2);
    this.#layers = Array.from({ length: this.turns }, (_, turn) =>
      Array.from({ length: layers }, (_, layer) => layer).filter((layer) => this.#turnOf(layer) === turn),
    );
    this.#oldest = [];
    this.#hasMeans = [];
    this.#unjudged = [];
    this.reset();
    this.#mostUnjudged = this.#layers.map((ofTurn) => Math.min(...ofTurn.map((layer) => unjudged[layer] ?? 0)));
  }

  /** Tokens from one compression of a layer to its next, and the most that one takes. */
  get turns(): number {
    return this.ring - Math.floor(this.ring / 2);
  }

  get state(): RingState {
    return { oldest: [...this.#oldest], hasMeans: [...this.#hasMeans], unjudged: [...this.#unjudged] };
  }

  /** Goes on from what a schedule of the same layers, sinks and ring remembered. */
  restore({ oldest, hasMeans, unjudged }: RingState): void {
    this.#oldest = [...oldest];
    this.#hasMeans = [...hasMeans];
    this.#unjudged = [...unjudged];
  }

  /** As it was before the first token. */
  reset(): void {
    this.restore({ oldest: this.#layers.map(() => this.sinks), hasMeans: this.#layers.map(() => false), unjudged: this.#layers.map(() => 0) });
  }

  /** Tokens that may stand behind the last one that is sure to stay: a compression leaves as many in the ring, so all of them can be taken back. */
  get mostUnsure(): number {
    return this.#newer;
  }

  /**
   * The least number of tokens that can be gone back to: those before it are in pages. A position that is taken once more finds nothing to move, as
   * its layers left just the newer half.
   */
  get leastTokens(): number {
    return Math.max(...this.#oldest.map((oldest) => (oldest > this.sinks ? oldest : 0)));
  }

  /** A prompt of which `count` tokens after the sinks went into pages, judged, in every layer. */
  begin(count: number): void {
    this.#oldest.fill(this.sinks + count);
    this.#hasMeans.fill(count > 0);
  }

  /**
   * Before the token at `position`, which must be called for once each, in order: the layers whose turn it is leave the newer half of a full
   * ring. A layer's turn comes every `turns` tokens, so that its ring never overflows; its first one may find fewer to take, or none.
   */
  take(position: number): RingTurn | undefined {
    const turn = position % this.turns;
    const layers = this.#layers[turn] ?? [];
    const firstPosition = this.#oldest[turn] ?? this.sinks;
    const held = position - firstPosition;
    const count = held - this.#newer;
    if (count <= 0) return undefined;
    const needsMeans = !this.#hasMeans[turn];
    this.#oldest[turn] = firstPosition + count;
    this.#hasMeans[turn] = true;
    const unjudged = (this.#unjudged[turn] ?? 0) + count;
    const judged = unjudged > (this.#mostUnjudged[turn] ?? 0);
    this.#unjudged[turn] = judged ? 0 : unjudged;
    return layers.length === 0 ? undefined : { layers, firstPosition, count, held, needsMeans, judged };
  }

  /** Position of the oldest token in a layer's ring, or of the next one after the sinks while that is empty. */
  oldest(layer: number): number {
    return this.#oldest[this.#turnOf(layer)] ?? this.sinks;
  }

  /** Spreads the layers evenly, whether there are more of them or fewer than turns. */
  #turnOf(layer: number): number {
    return Math.floor((layer * this.turns) / this.layers);
  }
}

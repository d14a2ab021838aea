// kvpress-keep: reads test/golden/kvpress-keep.json: which slots kvpress's methods keep of SmolLM2's cache. Its layout is told in test/golden/README.md.

/** How Lacuna calls what a kvpress method was set to. Fields that a method does not have are absent. */
export interface KeepOptions {
  readonly score: "expected-attention" | "snapkv" | "tova" | "h2o" | "critical" | "knorm" | "keydiff" | "lagkv" | "streaming-llm";
  readonly budget: "uniform" | "ada" | "pyramid";
  /** Sinks kept apart; absent: the method protects none. */
  readonly sinks?: number;
  readonly epsilon?: number;
  readonly valueNorm?: boolean;
  readonly covariance?: boolean;
  readonly window?: number;
  readonly pool?: "mean" | "max";
  readonly kernel?: number;
  readonly beta?: number;
  readonly exposed?: boolean;
  readonly lag?: number;
  readonly base?: "expected-attention" | "snapkv";
  readonly norm?: "L1";
}

export interface KeepMethod {
  readonly name: string;
  readonly options: KeepOptions;
  /** Kept positions, sorted. `text` and `ratio` are indices into texts and removed. */
  kept(text: number, ratio: number, layer: number, head: number): number[];
}

export interface KvpressKeep {
  readonly sha256: string;
  readonly layers: number;
  readonly heads: number;
  /** Parts of the slots that were removed. */
  readonly removed: readonly number[];
  readonly texts: readonly { readonly name: string; readonly ids: readonly number[] }[];
  readonly methods: readonly KeepMethod[];
}

interface RawMethod {
  readonly name: string;
  readonly options: KeepOptions;
  /** (texts)(ratios): base64 of bits (layers, heads, tokens), the lowest bit of a byte first. */
  readonly kept: readonly (readonly string[])[];
}

export type RawKeep = Omit<KvpressKeep, "methods"> & { readonly methods: readonly RawMethod[] };

export function readKvpressKeep(raw: RawKeep): KvpressKeep {
  return { ...raw, methods: raw.methods.map((method) => readMethod(method, raw)) };
}

/** Part of the kept slots that both kept, over all heads given: |A and B| / |B|, summed. */
export function overlap(pairs: readonly { readonly got: readonly number[]; readonly want: readonly number[] }[]): number {
  let both = 0;
  let all = 0;
  for (const { got, want } of pairs) {
    const set = new Set(got);
    both += want.filter((position) => set.has(position)).length;
    all += Math.max(want.length, got.length);
  }
  return both / all;
}

/**
 * One layer: what importance (G, T) would keep past the sinks, as many slots as kvpress kept there, beside what kvpress kept; for overlap().
 * Sinks are left out, as the engine keeps them whatever they score. "ada": as many in the whole layer, of which kvpress's safeguard is each head's own.
 * @param want kvpress's kept slots by head
 */
export function keepAsMany(importance: ArrayLike<number>, want: readonly (readonly number[])[], budget: KeepOptions["budget"], sinks: number) {
  const tokens = importance.length / want.length;
  const past = want.map((slots) => slots.filter((t) => t >= sinks));
  const ranked = want.map((_, g) => bestFirst(importance, range(g * tokens + sinks, tokens - sinks)));
  if (budget !== "ada") return past.map((slots, g) => ({ got: ranked[g]!.slice(0, slots.length).map((n) => n - g * tokens), want: slots }));
  const count = want.reduce((sum, slots) => sum + slots.length, 0) / want.length;
  const safe = ranked.map((order, g) => order.slice(0, Math.max(0, Math.trunc(count * 0.2) - (want[g]!.length - past[g]!.length))));
  const rest = past.reduce((sum, slots) => sum + slots.length, 0) - safe.reduce((sum, slots) => sum + slots.length, 0);
  const others = bestFirst(
    importance,
    ranked.flatMap((order, g) => order.slice(safe[g]!.length)),
  );
  const kept = [...safe.flat(), ...others.slice(0, rest)];
  return past.map((slots, g) => ({ got: kept.filter((n) => Math.floor(n / tokens) === g).map((n) => n - g * tokens), want: slots }));
}

/** Indices by falling score; ties to the lower index. */
function bestFirst(scores: ArrayLike<number>, indices: number[]): number[] {
  return indices.sort((a, b) => scores[b]! - scores[a]! || a - b);
}

function range(start: number, length: number): number[] {
  return Array.from({ length }, (_, n) => start + n);
}

function readMethod({ name, options, kept }: RawMethod, { heads, texts }: RawKeep): KeepMethod {
  const bits = kept.map((ratios) => ratios.map((text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0))));
  return {
    name,
    options,
    kept(text, ratio, layer, head) {
      const tokens = texts[text]!.ids.length;
      const first = (layer * heads + head) * tokens;
      const found = bits[text]![ratio]!;
      return Array.from({ length: tokens }, (_, t) => t).filter((t) => ((found[(first + t) >> 3]! >> ((first + t) & 7)) & 1) === 1);
    },
  };
}

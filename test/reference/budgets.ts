// budgets (reference): who gets how much. Every function turns scores or statistics into slots (or blocks) kept per head or per layer, nothing else.
// Budgets count slots of a kv head; the window and the sinks are part of them unless the docstring says otherwise.

import type { Numbers } from "./expected-attention";

/** Slots kept of n when the part `removed` goes: truncated as kvpress does, in the same order of f64 operations ((1 - .9) * 10 is 0.99..., so none). */
export function keepCount(n: number, removed: number): number {
  return Math.trunc(n * (1 - removed));
}

/** The removed part for which keepCount is `target`, by kvpress's bisection (at most 20 halvings from 1 - target / n); 0 where nothing need go. */
export function removedFor(n: number, target: number): number {
  if (n <= target) return 0;
  let ratio = 1 - target / n;
  let [low, high] = [0, 1];
  for (let step = 0; step < 20; step++) {
    const kept = keepCount(n, ratio);
    if (kept === target) break;
    if (kept > target) low = ratio;
    else high = ratio;
    ratio = (low + high) / 2;
  }
  return ratio;
}

export interface PyramidOptions {
  readonly layers: number; // L
  readonly tokens: number; // n
  readonly window: number; // W
  /** Mean slots a layer, the window included. */
  readonly mean: number;
  /** Steepness; 20 in the paper. */
  readonly beta: number;
}

/**
 * PyramidKV's layer budgets as published (Cai et al. 2024), (L): from 2 base - base / beta in the first layer to base / beta in the last, plus the window, with
 * base = mean - window; never more than there are tokens, whose excess the last layers get. Their sum is L * mean up to rounding.
 */
export function pyramidBudget({ layers, tokens, window, mean, beta }: PyramidOptions): number[] {
  const base = Math.max(0, mean - window);
  let least = base / beta;
  let most = 2 * base - least;
  if (most >= tokens - window) [most, least] = [tokens - window, 2 * base - (tokens - window)];
  return Array.from({ length: layers }, (_, l) => Math.min(tokens, Math.round(window + (layers === 1 ? base : most - (l * (most - least)) / (layers - 1)))));
}

/**
 * kvpress's PyramidKVPress, (L): the budget is window + n (1 - removed), so that the largest and the least include the window, and wherever the steps do not satisfy
 * n >= most >= least >= window every layer gets round(n (1 - removed)): no pyramid at all below beta * window slots.
 */
export function pyramidKvpress({ layers, tokens, window, removed, beta }: Omit<PyramidOptions, "mean"> & { readonly removed: number }): number[] {
  const capacity = window + tokens * (1 - removed);
  let least = (capacity - window) / beta;
  let most = (capacity - window) * 2 - least;
  if (most >= tokens - window) [most, least] = [tokens - window, (capacity - window) * 2 - (tokens - window)];
  const fits = tokens >= most && most >= least && least >= window;
  return Array.from({ length: layers }, (_, l) => roundEven(fits ? most - (l * (most - least)) / (layers - 1) : tokens * (1 - removed)));
}

/**
 * Ada-KV (Feng et al. 2024) as in kvpress: every head's top `keep * safeguard` are safe; the rest of heads * keep goes to the greatest scores of the layer.
 * @param scores (G, T), sinks and window already infinite   @returns kept slots by head, sorted; ties to the lower (head, slot)
 */
export function adaKeep(scores: Numbers, heads: number, keep: number, safeguard = 0.2): number[][] {
  const T = scores.length / heads;
  const safe = Math.trunc(keep * safeguard);
  const lifted = Float64Array.from(scores);
  for (let g = 0; g < heads; g++) for (const n of best(scores, range(g * T, T)).slice(0, safe)) lifted[n] = Number.POSITIVE_INFINITY;
  const kept = best(lifted, range(0, scores.length)).slice(0, heads * keep);
  return Array.from({ length: heads }, (_, g) =>
    kept
      .filter((n) => Math.floor(n / T) === g)
      .map((n) => n - g * T)
      .sort((a, b) => a - b),
  );
}

/** Ada-KV's own head budgets, (G): shares of the layer's top, drawn toward equal ones: round(c (1 - alpha) + alpha base). alpha .5 in its code, .2 in the paper. */
export function adaBudget(scores: Numbers, heads: number, base: number, alpha: number): number[] {
  const T = scores.length / heads;
  const top = best(scores, range(0, scores.length)).slice(0, heads * base);
  return Array.from({ length: heads }, (_, g) => Math.round(top.filter((n) => Math.floor(n / T) === g).length * (1 - alpha) + alpha * base));
}

/** CriticalAdaKV: head budgets by Ada-KV on the base scores; the two stages then run in each head with its own `keep`. (G). */
export function adaCounts(scores: Numbers, heads: number, keep: number, safeguard = 0.2): number[] {
  return adaKeep(scores, heads, keep, safeguard).map((slots) => slots.length);
}

export interface BlockHead {
  /** Metric of every slot of the head, any order; infinite = not to be evicted (sinks, window, pinned). */
  readonly metrics: Numbers;
}

/**
 * KV-Compress (Rehg 2024): the slots to evict, by head, so that at least `blocks` blocks of `size` slots fall free over ALL heads and layers given, the cheapest first.
 * A head's slots are taken by rising metric in chunks: the first chunk only as many as its last block holds (its "hanging" tokens), then `size` each;
 * a chunk costs what its dearest slot does. Fewer where the evictable slots run out.
 */
export function globalBlocks(heads: readonly BlockHead[], size: number, blocks: number): number[][] {
  const chunks = heads.flatMap(({ metrics }, head) => {
    const order = range(0, metrics.length).sort((a, b) => (metrics[a] ?? 0) - (metrics[b] ?? 0) || a - b);
    const hanging = metrics.length % size || size;
    const cuts = Array.from({ length: Math.ceil(metrics.length / size) }, (_, n) => [n === 0 ? 0 : hanging + (n - 1) * size, hanging + n * size] as const);
    return cuts.map(([start, end]) => ({ head, slots: order.slice(start, end), cost: metrics[order[end - 1]!] ?? Number.POSITIVE_INFINITY }));
  });
  // A stable sort keeps a head's chunks in order where costs tie.
  const freed = chunks.filter(({ cost }) => cost < Number.POSITIVE_INFINITY).sort((a, b) => a.cost - b.cost);
  const evicted = heads.map((): number[] => []);
  for (const { head, slots } of freed.slice(0, blocks)) evicted[head]!.push(...slots);
  return evicted.map((slots) => slots.sort((a, b) => a - b));
}

export interface CakeLayer {
  /** (H, W, N): attention of the window's queries on the N slots before the window. */
  readonly attention: Numbers;
  readonly heads: number; // H
  readonly window: number; // W
}

/**
 * CAKE's preference of a layer (Qin et al. 2025): entropy^(1/tau1) * variance^(1/tau2). Entropy: -sum p log p over heads, queries and slots;
 * variance: over the window's queries (divided by W), summed over slots and heads.
 */
export function cakePreference({ attention, heads, window }: CakeLayer, tau1: number, tau2: number): number {
  const N = attention.length / (heads * window);
  let entropy = 0;
  let variance = 0;
  for (let h = 0; h < heads; h++)
    for (let t = 0; t < N; t++) {
      const column = Array.from({ length: window }, (_, w) => attention[(h * window + w) * N + t] ?? Number.NaN);
      const mean = column.reduce((sum, p) => sum + p / window, 0);
      variance += column.reduce((sum, p) => sum + (p - mean) ** 2 / window, 0);
      entropy -= column.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);
    }
  return entropy ** (1 / tau1) * variance ** (1 / tau2);
}

/** CAKE's score of a slot: mean over the window + gamma * variance over it, by head, (H, N); pooling and the group's mean come after. gamma 200. */
export function cakeScore({ attention, heads, window }: CakeLayer, gamma: number): Float64Array {
  const N = attention.length / (heads * window);
  return Float64Array.from({ length: heads * N }, (_, n) => {
    const column = Array.from({ length: window }, (_, w) => attention[(Math.floor(n / N) * window + w) * N + (n % N)] ?? Number.NaN);
    const mean = column.reduce((sum, p) => sum + p / window, 0);
    return mean + gamma * column.reduce((sum, p) => sum + (p - mean) ** 2 / window, 0);
  });
}

/** Parts of `total` slots proportional to the preferences, none above `cap`; what is capped off goes to the others. Whole numbers that sum to min(total, L cap). */
export function proportional(preferences: readonly number[], total: number, cap: number): number[] {
  const capped = new Set<number>();
  const goal = Math.min(total, preferences.length * cap);
  for (;;) {
    const free = preferences.flatMap((p, l) => (capped.has(l) ? [] : [{ p, l }]));
    const sum = free.reduce((all, { p }) => all + p, 0);
    const room = goal - capped.size * cap;
    const part = ({ p }: { readonly p: number }): number => (sum > 0 ? (room * p) / sum : room / free.length);
    const over = free.filter((layer) => part(layer) > cap);
    if (over.length === 0) {
      const exact = preferences.map((p, l) => (capped.has(l) ? cap : part({ p })));
      return wholeParts(exact, goal);
    }
    for (const { l } of over) capped.add(l);
  }
}

/**
 * CAKE's cascade: the budgets of layers 0..l after each layer l has been seen, (L)(l + 1). The total is always spent on the layers there are, so the peak is the total;
 * no layer's budget ever grows (rounding might make it by one).
 */
export function cakeCascade(preferences: readonly number[], total: number, cap: number): number[][] {
  const cascade: number[][] = [];
  for (let l = 0; l < preferences.length; l++) {
    const before = cascade[l - 1];
    cascade.push(proportional(preferences.slice(0, l + 1), total, cap).map((slots, n) => Math.min(slots, before?.[n] ?? slots)));
  }
  return cascade;
}

export interface DynamicOptions {
  /** Slots a head beyond the window (B - W). */
  readonly base: number;
  /** Layers between two updates. */
  readonly every: number;
  /** No layer gets more than this many times `base` (and never more slots than there are): 10. */
  readonly most: number;
}

/**
 * DynamicKV (Zhou et al. 2024): slots a head beyond the window by layer, (L). After every `every` layers the top base * heads * layers of all scores so far
 * are counted by layer; the counts are the shares of base * layers. Layers after the last update get their own share at the end.
 * @param scores by layer (H, N)
 */
export function dynamicBudget(scores: readonly Numbers[], heads: number, { base, every, most }: DynamicOptions): number[] {
  let budgets: number[] = [];
  for (let seen = Math.min(every, scores.length); ; seen = Math.min(seen + every, scores.length)) {
    const candidates = scores.slice(0, seen).flatMap((layer, l) => {
      const N = layer.length / heads;
      const stored = Math.min(most * base, N, budgets[l] ?? Number.POSITIVE_INFINITY);
      return Array.from({ length: heads }, (_, h) => best(layer, range(h * N, N)).slice(0, stored)).flatMap((kept) =>
        kept.map((n) => ({ l, score: layer[n] ?? 0 })),
      );
    });
    const top = candidates.sort((a, b) => b.score - a.score || a.l - b.l).slice(0, base * heads * seen);
    const hits = Array.from({ length: seen }, (_, l) => top.filter((candidate) => candidate.l === l).length);
    // A layer once truncated cannot grow again: what it lost is gone.
    const caps = hits.map((_, l) => Math.min(most * base, scores[l]!.length / heads, budgets[l] ?? Number.POSITIVE_INFINITY));
    const sum = hits.reduce((all, n) => all + n, 0);
    budgets = hits.map((n, l) => Math.min(caps[l]!, Math.floor((n / Math.max(1, sum)) * base * seen)));
    if (seen === scores.length) return budgets;
  }
}

export interface TableOptions {
  /** Pages of all layers. */
  readonly total: number;
  /** What a layer's ring would take if it were pages. */
  readonly ring: number;
  /** Pages that a layer has at least. */
  readonly least: number;
}

/** A fixed table's pages by layer, (L): each layer's part of all pages and rings, its own ring taken off; what that is beyond the least, scaled to what there is. */
export function tableBudget(parts: readonly number[], { total, ring, least }: TableOptions): number[] {
  const sum = parts.reduce((all, part) => all + part, 0);
  const above = parts.map((part) => Math.max(0, (part / sum) * (total + parts.length * ring) - ring - least));
  const wanted = above.reduce((all, pages) => all + pages, 0);
  const spare = total - least * parts.length;
  return wholeParts(
    above.map((pages) => (pages / wanted) * spare),
    spare,
  ).map((pages) => pages + least);
}

/** Whole numbers near `exact` that sum to `total`: floors, then one more for the largest remainders (ties, to a millionth, to the lower index). */
export function wholeParts(exact: readonly number[], total: number): number[] {
  const parts = exact.map((part) => Math.floor(part + 1e-6));
  const order = exact.map((part, n) => ({ n, rest: Math.round(1e6 * (part - parts[n]!)) })).sort((a, b) => b.rest - a.rest || a.n - b.n);
  const missing = total - parts.reduce((all, part) => all + part, 0);
  for (const { n } of order.slice(0, missing)) parts[n]! += 1;
  return parts;
}

/** Indices by falling score; ties to the lower index. */
function best(scores: Numbers, indices: number[]): number[] {
  return indices.sort((a, b) => {
    const [x, y] = [scores[a] ?? Number.NaN, scores[b] ?? Number.NaN];
    return x === y ? a - b : y - x;
  });
}

function range(start: number, length: number): number[] {
  return Array.from({ length }, (_, n) => start + n);
}

/** To the nearest whole number, halves to the even one, as Python rounds. */
function roundEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

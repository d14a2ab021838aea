// read-plan: sizes that follow from what a decoded token reads (policy/reading) and what a cache holds: the slots of a chunk, how many are read,
// and the bytes of bounds and selections, which a budget pays for. Knows nothing of the GPU.

import type { Policy } from "../policy/policy";
import type { ReadRule, TurnRule } from "../policy/reading";
import type { PageLayout } from "./page-layout";

/** Of one cache whose layers do not read everything they hold. */
export interface ReadPlan {
  /** Slots of a chunk. */
  readonly span: number;
  /** Chunks a kv head reads of its pages at most. */
  readonly keep: number;
  /** Pairs of chunks a kv head's pages have room for. */
  readonly pairs: number;
  /** Channels whose bounds are looked at. */
  readonly channels: number;
  readonly sparse: boolean;
  readonly tau: number;
  /** Layers from the first on that read everything. */
  readonly dense: number;
  /** A turn's filter, the words of a kv head's part that say which chunks it left out, and those of what positions of a layer received: (G, tokens). */
  readonly turn?: TurnRule & { readonly tokens: number };
  readonly left: number;
  readonly receivedWords: number;
  /** Words of a kv head's part of a selection (shaders/lib/selection.wgsl), and of a layer's: parts, then the queries that chose. */
  readonly stride: number;
  readonly anchors: number;
  readonly selectionWords: number;
  /** Words of a layer's bounds (shaders/chunk-bounds.wgsl): sparse 16 bits a number, else 8 and a chunk's scale. */
  readonly boundsWords: number;
}

/** Header of a kv head's part of a selection: shaders/lib/selection.wgsl. */
export const SELECTION_HEADER = 8;

/** A cosine that none reaches: chunks are chosen anew for every token. */
const NEVER = 2;

export interface ReadShape {
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

/**
 * @param slots a kv head's pages have room for
 * @param held slots a head is expected to hold when the request ends: RocketKV's c2 is these over the tokens read
 * @param always sinks and ring, read in any case, as part of the tokens
 * @param tokens the cache can take
 */
export function planReading(rule: ReadRule, shape: ReadShape, slots: number, held: number, always: number, tokens = slots): ReadPlan | undefined {
  if (rule.kind === "all" || rule.dense >= shape.layers) return undefined;
  const { span, channels, share } =
    rule.kind === "quest" ? { span: rule.chunk, channels: shape.headSize, share: 1 } : sparseAttention(rule.tokens, held, shape.headSize);
  const pairs = Math.max(1, Math.ceil(slots / (2 * span)));
  const least = rule.kind === "quest" ? LEAST_PAGES : 1;
  const keep = Math.min(2 * pairs, Math.max(least, Math.floor((rule.tokens * share - always) / span)));
  const turn = rule.kind === "rocket" && rule.turn ? { ...rule.turn, tokens: rule.tokens } : undefined;
  const left = turn ? Math.ceil((2 * pairs) / 32) : 0;
  const stride = SELECTION_HEADER + keep + left;
  const anchors = shape.kvHeads * stride;
  return {
    span,
    keep,
    pairs,
    channels,
    sparse: rule.kind === "rocket",
    tau: rule.reselect ?? NEVER,
    dense: rule.dense,
    ...(turn && { turn }),
    left,
    receivedWords: turn ? padded(shape.kvHeads * tokens) : 0,
    stride,
    anchors,
    selectionWords: padded(anchors + shape.heads * shape.headSize),
    boundsWords: padded((shape.kvHeads * pairs * boundBytes(rule.kind, shape.headSize)) / 2),
  };
}

/** What a policy reads, by the layout of pages and how many the largest layer has; `expected` are the bytes that a (layer, kv head) will hold. */
export function readPlanner(
  { read, mode, budget }: Policy,
  shape: ReadShape,
  { tokens, expected, ringSlots }: { readonly tokens: number; readonly expected: number; readonly ringSlots: number },
): (layout: PageLayout, mostPages: number) => ReadPlan | undefined {
  return ({ slotsPerPage, slotWords }, mostPages) => {
    const evenly = mode === "static" || budget.perHead ? shape.kvHeads : 1; // heads that compete may each get all
    const slots = Math.min(tokens, Math.ceil(mostPages / evenly) * (slotsPerPage[0] ?? 1));
    const heldBeside = (bytes: number): number => Math.min(tokens, expected / (4 * (slotWords[0] ?? 1) + bytes));
    // What is held pays for its bounds, whose size follows from what is held: from below, as a chunk's are those of one slot, shared.
    const { span } = read.kind === "rocket" ? sparseAttention(read.tokens, heldBeside(boundBytes("rocket", shape.headSize)), shape.headSize) : { span: 1 };
    const filtered = read.kind === "rocket" && read.turn !== undefined; // the second stage then looks at what the paper's first one leaves
    const all = filtered ? rocketCapacity(read.tokens, tokens, 0) : tokens;
    return planReading(
      read,
      shape,
      slots,
      mode === "static" ? all : heldBeside(read.kind === "all" ? 0 : boundBytes(read.kind, shape.headSize) / span),
      ringSlots,
      tokens,
    );
  };
}

/** Quest never reads fewer pages. */
const LEAST_PAGES = 3;

/**
 * RocketKV, stage 2: c2 = slots held per token read; chunks of p = min(floor(c2), ceil(sqrt(c2))) slots, r = floor(d p / c2) channels of them looked
 * at, and exact attention over half the tokens: with the bounds, the traffic of them all. Source: methods 2.8.
 */
export function sparseAttention(tokens: number, held: number, headSize: number): { readonly span: number; readonly channels: number; readonly share: number } {
  const c2 = Math.max(1, held / tokens);
  const span = Math.max(1, Math.min(Math.floor(c2), Math.ceil(Math.sqrt(c2))));
  return { span, channels: Math.min(headSize, Math.max(1, Math.floor((headSize * span) / c2))), share: 0.5 };
}

/**
 * RocketKV's split: tokens that its first stage leaves of a prompt of S and M new ones, C1 = S / c^rho of all, with c = max(1, S / t) and
 * rho = min(.2 + .06 log2 c, .8), and no fewer than min(2 M, S). Source: methods 2.8.
 * @returns tokens held at the request's end, the new ones among them
 */
export function rocketCapacity(tokens: number, promptTokens: number, newTokens: number): number {
  const c = Math.max(1, promptTokens / tokens);
  const rho = Math.min(0.2 + 0.06 * Math.log2(c), 0.8);
  return Math.max(Math.floor(promptTokens / c ** rho), Math.min(2 * newTokens, promptTokens));
}

/**
 * Tokens before a turn's window that its filter leaves: of the C1 that the paper's split gives the history, those that neither new tokens nor the window and what is
 * newer take. Where more new tokens are asked for than half of C1, half of it: the paper's M is far below.
 * @param history tokens before the answer, of which the last `newest` are never left out
 */
export function turnCapacity(tokens: number, history: number, newTokens: number, newest: number): number {
  const all = rocketCapacity(tokens, history, newTokens);
  return Math.max(0, all - Math.min(newTokens, Math.floor(all / 2)) - newest);
}

/** Bytes of the bounds of one chunk: smallest and largest of every channel, in 16 bits, or in 8 with a scale. */
export function boundBytes(kind: "quest" | "rocket", headSize: number): number {
  return kind === "rocket" ? 4 * headSize : 2 * headSize + 2;
}

/** Bytes of bounds and selections of all layers; 0 where everything is read. */
export function readBytes(plan: ReadPlan | undefined, layers: number): number {
  return plan ? (layers - plan.dense) * 4 * (plan.boundsWords + plan.selectionWords + plan.receivedWords) : 0;
}

/** So that each layer can be bound by itself. */
function padded(words: number): number {
  return Math.ceil(words / 64) * 64;
}

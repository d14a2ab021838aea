// golden: reads test/golden/logits-*.json. Its layout is told in test/golden/README.md.

export interface GoldenText {
  readonly ids: readonly number[];
  readonly greedyIds: readonly number[];
  readonly greedyMargins: readonly number[];
  /** The tokens that really follow each position. */
  readonly next: readonly number[];
  readonly logSumExp: Float32Array; // (T)
  readonly nextLogits: Float32Array; // (T)
  readonly projections: number;
  /** The greatest logits of a position: (id, logit). */
  top(position: number): readonly (readonly [number, number])[];
  projection(position: number, index: number): number;
}

interface RawText {
  readonly ids: number[];
  readonly greedyIds: number[];
  readonly greedyMargins: number[];
  readonly topIds: string;
  readonly topLogits: string;
  readonly next: number[];
  readonly logSumExp: string;
  readonly nextLogits: string;
  readonly projections: string;
}

export interface RawGolden {
  readonly sha256: string;
  readonly top: number;
  readonly projections: number;
  readonly texts: readonly RawText[];
}

export function readGolden(raw: RawGolden): { readonly sha256: string; readonly texts: readonly GoldenText[] } {
  return { sha256: raw.sha256, texts: raw.texts.map((text) => readText(text, raw)) };
}

function readText(text: RawText, { top, projections }: RawGolden): GoldenText {
  const topIds = new Uint32Array(bytes(text.topIds));
  const topLogits = new Float32Array(bytes(text.topLogits));
  const projected = new Float32Array(bytes(text.projections));
  return {
    ids: text.ids,
    greedyIds: text.greedyIds,
    greedyMargins: text.greedyMargins,
    next: text.next,
    logSumExp: new Float32Array(bytes(text.logSumExp)),
    nextLogits: new Float32Array(bytes(text.nextLogits)),
    projections,
    top: (position) =>
      Array.from({ length: top }, (_, index) => [topIds[position * top + index] ?? 0, topLogits[position * top + index] ?? Number.NaN] as const),
    projection: (position, index) => projected[position * projections + index] ?? Number.NaN,
  };
}

/** Number j: the sum of sign(v, j) * logit(v) over the vocabulary, over its square root; signs from the lowest bit of a pcg hash. */
export function projectLogits(logits: Float32Array, projections: number): number[] {
  const signs = signsFor(logits.length, projections);
  const sums = Array<number>(projections).fill(0);
  for (let token = 0; token < logits.length; token++)
    for (let j = 0; j < projections; j++) sums[j] = (sums[j] ?? 0) + (signs[token * projections + j] ?? 0) * (logits[token] ?? Number.NaN);
  return sums.map((sum) => sum / Math.sqrt(logits.length));
}

let known: { readonly key: string; readonly signs: Int8Array } | undefined;

function signsFor(vocabulary: number, projections: number): Int8Array {
  const key = `${vocabulary} ${projections}`;
  if (known?.key !== key) known = { key, signs: Int8Array.from({ length: vocabulary * projections }, (_, n) => ((pcg(n) & 1) === 1 ? -1 : 1)) };
  return known.signs;
}

function pcg(n: number): number {
  const state = (Math.imul(n, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}

function bytes(base64: string): ArrayBuffer {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
}

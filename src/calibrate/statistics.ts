// statistics: what one layer's queries, keys and values say: means, the queries' metric, the bases made of it, errors of the formats.
// Pure, in f64. Leaves to others: getting the rows (survey.ts), what they are used for. Source: methods.md 10.1.

import { FORMATS, type Format } from "../cache/formats";
import { float16Value } from "../load/float16";
import { type Coder, codersOf, GROUPS, half, type KeyBasis } from "./codec";
import { cholesky, inverse, multiply, orthogonalizeRows, transpose } from "./linear-algebra";

export interface HeadDims {
  readonly heads: number; // H
  readonly kvHeads: number; // G
  readonly headSize: number; // D
  /** First positions, left out of everything. */
  readonly sinks: number;
}

/** One layer over a text of T tokens. */
export interface LayerRows {
  readonly tokens: number; // T
  readonly queries: Float32Array; // (T, H, D) before RoPE
  readonly rotated: Float32Array; // (T, H, D) after
  readonly keys: Uint16Array; // (G, T, D) f16, after RoPE
  readonly values: Uint16Array; // (G, T, D) f16
}

/** What a calibration keeps of a kv head; numbers that files hold as f16 are rounded already. */
export interface HeadStatistics extends KeyBasis {
  readonly keyMean: Float64Array; // (D)
  readonly valueMean: Float64Array; // (D)
  readonly queryBasis: Float64Array; // (D, D)
  readonly queryDirection: Float64Array; // (D)
  /** E|q|^2 of the group's queries. */
  readonly queryEnergy: number;
  /** By format, in FORMATS' order: squared error over |x - mean|^2, keys in the query's metric. */
  readonly keyErrors: readonly number[];
  readonly valueErrors: readonly number[];
}

export interface QueryMoments {
  readonly mean: Float64Array; // (D)
  readonly covariance: Float64Array; // (D, D)
}

/** Queries looked at per head for the metric, and slots per head for the formats' errors: evenly spread over the text. */
const METRIC_QUERIES = 192;
const ERROR_SLOTS = 256;

/** Mean and covariance of a head's queries before RoPE. */
export function queryMoments({ tokens, queries }: LayerRows, head: number, { heads, headSize: D, sinks }: HeadDims): QueryMoments {
  const rows = Array.from(
    { length: tokens - sinks },
    (_, t) => new Float64Array(queries.subarray(((t + sinks) * heads + head) * D, ((t + sinks) * heads + head + 1) * D)),
  );
  return { mean: meanOf(rows, D), covariance: covarianceOf(rows, D) };
}

/** Everything about one kv head. */
export function headStatistics(rows: LayerRows, head: number, dims: HeadDims): HeadStatistics {
  const { headSize: D, sinks } = dims;
  const keys = rowsOf(rows.keys, head, rows.tokens, D);
  const [coded, values] = [keys.slice(sinks), rowsOf(rows.values, head, rows.tokens, D).slice(sinks)];
  const keyMean = meanOf(coded, D).map(half);
  const valueMean = meanOf(values, D).map(half);
  const queries = spreadQueries(rows, head, dims);
  const metric = queryMetric(queries, keys, dims);
  const basis = keyBases(metric, covarianceOf(coded, D), D);
  const centred = coded.map((key) => minus(key, keyMean));
  const groupScales = scalesOf(centred, basis.keyBasis, D);
  const all = { ...basis, groupScales };
  return {
    ...all,
    keyMean,
    valueMean,
    queryDirection: principalDirection(
      queries.map(({ row }) => row),
      D,
    ),
    queryEnergy: queryEnergy(rows, head, dims),
    ...formatErrors(
      spread(centred, ERROR_SLOTS),
      spread(values, ERROR_SLOTS).map((value) => minus(value, valueMean)),
      metric,
      all,
      D,
    ),
  };
}

interface PlacedQuery {
  readonly row: Float64Array; // (D) after RoPE
  readonly position: number;
}

/** Queries after RoPE of all heads of a group. */
function spreadQueries({ tokens, rotated }: LayerRows, group: number, { heads, kvHeads, headSize: D, sinks }: HeadDims): PlacedQuery[] {
  const positions = spread(
    Array.from({ length: tokens - sinks }, (_, t) => t + sinks),
    METRIC_QUERIES,
  );
  const perGroup = heads / kvHeads;
  return positions.flatMap((position) =>
    Array.from({ length: perGroup }, (_, h) => {
      const at = (position * heads + group * perGroup + h) * D;
      return { position, row: new Float64Array(rotated.subarray(at, at + D)) };
    }),
  );
}

/**
 * E[q q^T] over queries, each weighted by the attention it does not pay to the sinks, at a mean diagonal of 1: so that e^T M e is the variance of a
 * logit's error e over E|q|^2 / D.
 */
export function queryMetric(
  queries: readonly PlacedQuery[],
  keys: readonly Float64Array[],
  { headSize: D, sinks }: Pick<HeadDims, "headSize" | "sinks">,
): Float64Array {
  const metric = new Float64Array(D * D);
  for (const { row, position } of queries) {
    const weight = attentionPast(sinks, row, keys, position);
    for (let i = 0; i < D; i++) {
      const factor = weight * num(row[i]);
      for (let j = 0; j <= i; j++) metric[i * D + j] = num(metric[i * D + j]) + factor * num(row[j]);
    }
  }
  mirror(metric, D);
  let trace = 0;
  for (let i = 0; i < D; i++) trace += num(metric[i * D + i]);
  return metric.map((value) => (value * D) / (trace || 1));
}

/** Part of a query's attention that goes to positions from `sinks` on. */
function attentionPast(sinks: number, query: Float64Array, keys: readonly Float64Array[], position: number): number {
  const scores = new Float64Array(position + 1);
  let top = Number.NEGATIVE_INFINITY;
  for (let t = 0; t <= position; t++) {
    const score = dot(query, keys[t] as Float64Array) / Math.sqrt(query.length);
    scores[t] = score;
    top = Math.max(top, score);
  }
  let [all, past] = [0, 0];
  for (let t = 0; t <= position; t++) {
    const weight = Math.exp(num(scores[t]) - top);
    all += weight;
    if (t >= sinks) past += weight;
  }
  return past / all;
}

/**
 * keyBasis = E^T A and queryBasis = its inverse transposed, with M + I = A^T A and E the eigenvectors of A Cov A^T, largest first. Any root A gives the
 * same product, so a triangle does. keyBasis is rounded to f16 first: the pair then fits together as files and shaders have it.
 */
export function keyBases(metric: Float64Array, covariance: Float64Array, D: number): { readonly keyBasis: Float64Array; readonly queryBasis: Float64Array } {
  const root = transpose(
    cholesky(
      metric.map((value, n) => value + (n % (D + 1) === 0 ? 1 : 0)),
      D,
    ),
    D,
  );
  let trace = 0;
  for (let i = 0; i < D; i++) trace += num(covariance[i * D + i]);
  const spreadOfKeys = cholesky(covariance, D, Math.max((1e-9 * trace) / D, 1e-12));
  const keyBasis = orthogonalizeRows(multiply(root, spreadOfKeys, D), root, D).rows.map(half);
  return { keyBasis, queryBasis: queryBasisOf(keyBasis, D) };
}

/** The basis of queries that belongs to a basis of keys: (F^-1)^T. */
export function queryBasisOf(keyBasis: Float64Array, D: number): Float64Array {
  return transpose(inverse(keyBasis, D), D);
}

/** Root mean square of y's channels by group. */
function scalesOf(centred: readonly Float64Array[], keyBasis: Float64Array, D: number): Float64Array {
  const powers = new Float64Array(GROUPS);
  const basis = Array.from({ length: D }, (_, i) => keyBasis.subarray(i * D, (i + 1) * D));
  for (const key of centred)
    for (let i = 0; i < D; i++) {
      const y = dot(basis[i] as Float64Array, key);
      const group = Math.floor((i * GROUPS) / D);
      powers[group] = num(powers[group]) + (y * y * GROUPS) / (D * centred.length);
    }
  return powers.map((power) => Math.fround(Math.sqrt(Math.max(power, 1e-12))));
}

/** The direction of the largest second moment (Q-Filters, Godey et al. 2025: right singular vector of the queries), where queries point on average. */
function principalDirection(queries: readonly Float64Array[], D: number): Float64Array {
  const mean = meanOf(queries, D);
  let direction = mean.map((value, i) => value + 1e-6 * (i + 1)); // never exactly orthogonal to what is looked for
  for (let turn = 0; turn < POWER_TURNS; turn++) {
    const next: Float64Array = new Float64Array(D);
    for (const query of queries) {
      const along = dot(query, direction);
      for (let i = 0; i < D; i++) next[i] = num(next[i]) + along * num(query[i]);
    }
    const length = Math.sqrt(dot(next, next)) || 1;
    direction = next.map((value) => value / length);
  }
  const sign = dot(direction, mean) < 0 ? -1 : 1;
  return direction.map((value) => half(sign * value));
}

const POWER_TURNS = 40;

function queryEnergy({ tokens, queries }: LayerRows, group: number, { heads, kvHeads, headSize: D, sinks }: HeadDims): number {
  const width = (heads / kvHeads) * D;
  let sum = 0;
  for (let t = sinks; t < tokens; t++) for (let i = 0; i < width; i++) sum += num(queries[t * heads * D + group * width + i]) ** 2;
  return sum / ((tokens - sinks) * (heads / kvHeads));
}

/** Relative squared errors of every format, those that code alike measured once. */
function formatErrors(keys: readonly Float64Array[], values: readonly Float64Array[], metric: Float64Array, basis: KeyBasis, D: number) {
  const measured = new Map<string, number>();
  const once = (name: string, measure: () => number): number => {
    if (!measured.has(name)) measured.set(name, measure());
    return measured.get(name) ?? Number.NaN;
  };
  const keyName = (format: Format): string => `key ${format.basis === "klt" ? format.keyGroups.join() : format.keyBits}`;
  return {
    keyErrors: FORMATS.map((format) => once(keyName(format), () => relativeError(codersOf(format, D, basis).key, keys, (error) => squared(error, metric)))),
    valueErrors: FORMATS.map((format) =>
      once(`value ${format.valueBits}`, () => relativeError(codersOf(format, D, basis).value, values, (error) => dot(error, error))),
    ),
  };
}

/** Sum of squared errors over the sum of squared lengths. */
function relativeError(coder: Coder, rows: readonly Float64Array[], square: (error: Float64Array) => number): number {
  let [errors, lengths] = [0, 0];
  for (const row of rows) {
    const coded = new Float64Array(row);
    coder(coded);
    errors += square(minus(coded, row));
    lengths += dot(row, row);
  }
  return errors / (lengths || 1);
}

/** e^T M e */
function squared(error: Float64Array, metric: Float64Array): number {
  const D = error.length;
  let sum = 0;
  for (let i = 0; i < D; i++) {
    let inner = 0;
    for (let j = 0; j < D; j++) inner += num(metric[i * D + j]) * num(error[j]);
    sum += num(error[i]) * inner;
  }
  return sum;
}

/** Vectors of one head of (G, T, D) f16. */
export function rowsOf(halves: Uint16Array, head: number, tokens: number, D: number): Float64Array[] {
  return Array.from({ length: tokens }, (_, t) => {
    const row = new Float64Array(D);
    for (let i = 0; i < D; i++) row[i] = float16Value(num(halves[(head * tokens + t) * D + i]));
    return row;
  });
}

function meanOf(rows: readonly Float64Array[], D: number): Float64Array {
  const mean = new Float64Array(D);
  for (const row of rows) for (let i = 0; i < D; i++) mean[i] = num(mean[i]) + num(row[i]) / rows.length;
  return mean;
}

function covarianceOf(rows: readonly Float64Array[], D: number): Float64Array {
  const mean = meanOf(rows, D);
  const covariance = new Float64Array(D * D);
  for (const row of rows) {
    const centred = minus(row, mean);
    for (let i = 0; i < D; i++) {
      const factor = num(centred[i]) / rows.length;
      for (let j = 0; j <= i; j++) covariance[i * D + j] = num(covariance[i * D + j]) + factor * num(centred[j]);
    }
  }
  return mirror(covariance, D);
}

/** Fills in what is above the diagonal. */
function mirror(matrix: Float64Array, D: number): Float64Array {
  for (let i = 0; i < D; i++) for (let j = i + 1; j < D; j++) matrix[i * D + j] = num(matrix[j * D + i]);
  return matrix;
}

/** At most `count` of the items, evenly spread. */
function spread<Item>(items: readonly Item[], count: number): readonly Item[] {
  const step = Math.max(1, items.length / count);
  return items.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
}

function minus(a: Float64Array, b: Float64Array): Float64Array {
  const difference = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) difference[i] = num(a[i]) - num(b[i]);
  return difference;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += num(a[i]) * num(b[i]);
  return sum;
}

/** Every index here is inside. */
function num(value: number | undefined): number {
  return value as number;
}

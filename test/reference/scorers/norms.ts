// norms (reference, f64): scores from the length or direction of one vector: knorm, value-norm, keydiff, qfilter.
// kvpress's scores may be negative; the importance forms are positive and rank alike, within a head and between heads.

import { type Dims, type Numbers, norm } from "../expected-attention";
import { anchorCosine, meanUnitKey } from "../key-diversity";

type KeyDims = Pick<Dims, "T" | "G" | "D">;

/** -|k|, (G, T): a short key is attended to more (Devoto et al. 2024, 2406.11430). `keys` (G, T, D). */
export function knorm(keys: Numbers, dims: KeyDims): Float64Array {
  return eachNorm(keys, dims).map((length) => -length);
}

/** 1 / |k|, (G, T): knorm's order as a positive importance; a key of zeros counts as 1e-6 long. */
export function knormImportance(keys: Numbers, dims: KeyDims): Float64Array {
  return eachNorm(keys, dims).map((length) => 1 / Math.max(length, 1e-6));
}

/** |v|, (G, T). `values` (G, T, D). */
export function valueNorm(values: Numbers, dims: KeyDims): Float64Array {
  return eachNorm(values, dims);
}

/** -cos(k, mean of unit keys), (G, T): what differs from the rest stays (Park et al. 2025, 2504.15364). */
export function keydiff(keys: Numbers, dims: KeyDims, anchor: Numbers = meanUnitKey(keys, dims)): Float64Array {
  return anchorCosine(keys, anchor, dims).map((cosine) => -cosine);
}

/** 1 - cos(k, mean of unit keys), (G, T), in [0, 2]. */
export function keydiffImportance(keys: Numbers, dims: KeyDims, anchor?: Numbers): Float64Array {
  return keydiff(keys, dims, anchor).map((score) => 1 + score);
}

/** <direction, k>, (G, T): a key far along its head's direction (unit length, (G, D), stored by the calibration) is kept. QFilter (2503.02812) stores the opposite sign. */
export function qfilter(keys: Numbers, direction: Numbers, { T, G, D }: KeyDims): Float64Array {
  return Float64Array.from({ length: G * T }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < D; i++) sum += (direction[Math.floor(row / T) * D + i] ?? Number.NaN) * (keys[row * D + i] ?? Number.NaN);
    return sum;
  });
}

/** exp(qfilter / sqrt(D) - the head's greatest), (G, T), in (0, 1]: positive, ranks alike within a head. Sinks do not count for the greatest. */
export function qfilterImportance(keys: Numbers, direction: Numbers, dims: KeyDims & Pick<Dims, "sinks">): Float64Array {
  const { T, D, sinks } = dims;
  const along = qfilter(keys, direction, dims);
  return along.map((score, row) => {
    const start = Math.floor(row / T) * T;
    return Math.exp((score - Math.max(...along.subarray(start + sinks, start + T))) / Math.sqrt(D));
  });
}

function eachNorm(rows: Numbers, { T, G, D }: KeyDims): Float64Array {
  return Float64Array.from({ length: G * T }, (_, row) => norm(rows, row * D, D));
}

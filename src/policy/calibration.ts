// calibration: what was measured once of a model, as data: bases, errors of the formats, weights of the layers. Types and lookups only.
// Leaves to others: measuring it (src/calibrate), the codec that uses the bases (src/cache, src/kernels).

import type { FormatName, ScoreName } from "../engine-types";
import { EngineError } from "../errors";

/** Dims as everywhere: L layers, H heads, G kv heads, D head size. Arrays are row-major in the order given. */
export interface Calibration {
  /** SHA-256 of the model file, hexadecimal: a calibration serves this model and no other. */
  readonly model: string;
  readonly layers: number; // L
  readonly heads: number; // H
  readonly kvHeads: number; // G
  readonly headSize: number; // D
  /** (L, G, D): mean key after RoPE, and mean value. */
  readonly keyMeans: Float32Array;
  readonly valueMeans: Float32Array;
  /**
   * (L, G, D, D): y = keyBasis (k - mean) has its channels sorted by falling variance in the query's metric (methods 10.1: E^T A with M = A^2).
   * (L, G, D, D): q' = queryBasis q, so that q' . y = q . (k - mean).
   */
  readonly keyBasis: Float32Array;
  readonly queryBasis: Float32Array;
  /** (L, G, 4): root mean square of y's channels in each of four equal groups. */
  readonly groupScales: Float32Array;
  /** Measured by format: squared error over |x - mean|^2, keys in the query's metric over E|q|^2 / D; (L, G). */
  readonly errors: readonly { readonly format: FormatName; readonly key: Float32Array; readonly value: Float32Array }[];
  /** (L): median over tokens of the residual stream's squared norm after attention (methods 10.3's r_l). */
  readonly residualPower: Float32Array;
  /** (L): KL of a continuation over the layer's cost when that layer alone is coded at 2 bits. */
  readonly sensitivity: Float32Array;
  /** Layers' parts of the bytes, by rising ratio; each sums to 1. */
  readonly shares: readonly { readonly ratio: number; readonly shares: readonly number[] }[];
  /** Mean and covariance of queries before RoPE: (L, H, D) and (L, H, D, D); for expected attention with stored statistics. */
  readonly queryMean: Float32Array;
  readonly queryCovariance: Float32Array;
  /** (L, G, D): direction in which keys are kept, for a qfilter-like score; unit length. */
  readonly queryDirection: Float32Array;
  /** Formats with fewer key bits than this one's are not used by this model (design 4.7); absent where every format passed. */
  readonly keyFloor?: FormatName;
}

/** For a method that reads it. Throws BAD_OPTION where the model has none. */
export function requireCalibration(calibration: Calibration | undefined, score: ScoreName): Calibration {
  if (calibration) return calibration;
  throw new EngineError("BAD_OPTION", `Score ${score} needs a calibration of the model, none was given. Calibrate the model, or choose another score.`, {
    field: "score.kind",
    found: score,
  });
}

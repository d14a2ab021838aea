// kvpress-golden: a small case computed by NVIDIA kvpress itself (commit 8bb29b9, float64), its inputs as formulas and its outputs to 6 digits.
// Ratio .5 of 24 tokens: 12 kept. W_q = W_o = I, so that the hidden states are the queries.

import type { RopeConfig } from "../../src/model/model-config";
import type { Dims } from "./expected-attention";

export const goldenDims: Dims = { T: 24, H: 4, G: 2, D: 8, sinks: 4 };
export const goldenKeep = 12;
export const goldenFuture = 16;
export const goldenRope: RopeConfig = { theta: 10000, pairing: "half", divisors: new Float64Array(4).fill(1), magnitude: 1 };

const { T, H, G, D } = goldenDims;

export function goldenInputs(): { queries: Float64Array; keys: Float64Array; values: Float64Array } {
  const queries = Float64Array.from({ length: T * H * D }, (_, n) => {
    const [t, j] = [Math.floor(n / (H * D)), n % (H * D)];
    return Math.sin(0.7 * t + 0.3 * j) + 0.2 * Math.cos(0.13 * t * j);
  });
  const each = (value: (g: number, t: number, c: number) => number): Float64Array =>
    Float64Array.from({ length: G * T * D }, (_, n) => value(Math.floor(n / (T * D)), Math.floor(n / D) % T, n % D));
  return {
    queries, // (T, H, D)
    keys: each((g, t, c) => Math.cos(0.5 * t + 0.9 * c + 1.1 * g) * (1 + ((7 * t + 3 * c + 5 * g) % 11) / 11)), // (G, T, D)
    values: each((g, t, c) => Math.sin(1.3 * t + 0.4 * c + 0.8 * g) + 0.05 * ((5 * t + c) % 7)), // (G, T, D)
  };
}

/** What kvpress printed. Six digits: half a unit of the last one is the test's tolerance. */
export const goldenOutputs = {
  cos: [0.128521, -0.897037, 0.949786, 0.999493],
  sin: [0.0108308, -0.00754188, 0.309487, 0.0314945],
  mean0: [0.0266457, 0.0510694, -0.0561451, -0.0927578, -0.0127154, 0.0910938, -0.128093, -0.0774322],
  diagonal0: [0.0071078, 0.353357, 0.41671, 0.5046, 0.00873943, 0.579648, 0.726581, 0.492278],
  covariance01: -0.0453771,
  covariance04: 0.00334296,
  scores: [
    [0.109084, 0.111329, 0.118497, 0.07896, 0.0965908, 0.0988288], // head 0, tokens 4..9, epsilon 0
    [0.145823, 0.126196, 0.0962765, 0.0758641, 0.0959525, 0.108091],
  ],
  sink: 1.14582, // largest score + 1
  scoresEpsilon: [0.155502, 0.158383, 0.163429, 0.110277], // head 0, tokens 4..7, epsilon .02
  keep: [ranges("0-6,10,14,15,19,20"), ranges("0-5,9,10,14,18,19,23")],
  keepNoValueNorm: [ranges("0-3,6,8,12,13,14,18,19,20"), ranges("0-5,10,12,16,17,18,23")],
  keepNoCovariance1: ranges("0-5,9,10,14,15,18,19"),
  snapkv: [0.0402051, 0.0529251, 0.0425349, 0.0339521], // head 0, tokens 0..3, window 4, average pool 3
  keepSnapkv: [ranges("1,2,6,7,11-14,20-23"), ranges("2-5,15-18,20-23")],
  tova: [0.0480762, 0.0487255, 0.049075, 0.0469028],
  keepTova: ranges("0-4,12-14,16-18,23"),
  knorm: [-3.19579, -3.02672, -3.14056, -2.60633],
  keydiff: [0.547477, 0.48172, -0.0792175, -0.313186],
  keepKeydiff: [ranges("0-2,9-14,21-23"), ranges("0,1,8-14,21-23")],
  keepKnorm: [ranges("3,5,7,9,11,13,15,17,19,21-23"), ranges("0-2,7,9,11,13,15,17,19,21,23")], // "3,5,7,...,21,22,23": every other one
  keepCritical: [ranges("0-3,5,6,10,13,14,15,19,20"), ranges("0-5,9,10,14,17,18,23")], // CriticalKV over EA without the value norm
  projectedL1: [6.00814, 5.26201, 4.62098, 4.03075], // head 0, tokens 0..3
  keepLagkv: [ranges("0-2,6,10,14,18-23"), ranges("0,1,3,6,10,14,18-23")], // 2 sinks, lag 4
  keepCur: [ranges("0-4,6,10,14,16,18-20"), ranges("0-5,8,10,14,18,20,23")], // window 8, 4 sinks
  keepCap: [ranges("0-5,10-15"), ranges("0-5,11,12,14,17,18,23")], // tau 5
  keepNonCausal: [ranges("1,5-9,13-16,19,22"), ranges("5-11,14-18")], // chunk 8
  keepStreaming: ranges("0-3,16-23"),
  droppedChannels: [
    [0, 5, 6, 7],
    [2, 4, 5, 7],
  ], // ThinK, ratio .5, window 4
  rerotated: { head: 0, from: 9, to: 3, before: [-0.364102, 0.634693, 1.27255, 0.940179], after: [-0.225872, -0.0373976, 1.19755, 0.938254] }, // channels 0..3
  merged: { head: 0, token: 3, before: [-0.637766, -0.816166, -0.849923, -0.725815], after: [0.130407, -0.0804478, -0.25483, -0.357314] }, // over Knorm
  chunks: { chunkKv: 10, chunk: 10 }, // slots kept: ChunkKV(Knorm) chunk 5, Chunk(Knorm) chunk 7
} as const;

/** "0-3,7" as [0, 1, 2, 3, 7]. */
function ranges(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const [from = 0, to = from] = part.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

// layer-shares: each layer's part of a budget, interpolated between the ratios that a calibration measured it at. Source: methods.md 10.3.

import type { ModelConfig } from "../model/model-config";
import type { Calibration } from "./calibration";

/** Shares that sum to 1, one per layer. Equal where nothing was measured of the model; flatter above the largest ratio measured. */
export function layerShares({ layers }: Pick<ModelConfig, "layers">, ratio: number, calibration?: Pick<Calibration, "shares">): number[] {
  const equal = Array<number>(layers).fill(1 / layers);
  const measured = calibration?.shares ?? [];
  if (measured.length === 0) return equal;
  const rows = [...measured.map((row) => ({ ratio: row.ratio, shares: normalised(row.shares) })), { ratio: 1, shares: equal }];
  const position = Math.log2(Math.max(ratio, 1e-6));
  const upper = rows.findIndex((row) => Math.log2(row.ratio) >= position);
  if (upper <= 0) return rows[Math.max(upper, 0)]?.shares ?? equal;
  const [low, high] = [rows[upper - 1], rows[upper]];
  if (!low || !high) return equal;
  const part = (position - Math.log2(low.ratio)) / (Math.log2(high.ratio) - Math.log2(low.ratio));
  return normalised(low.shares.map((share, layer) => share * (1 - part) + (high.shares[layer] ?? 0) * part));
}

function normalised(values: readonly number[]): number[] {
  const sum = values.reduce((a, b) => a + b, 0);
  return values.map((value) => value / sum);
}

// study: which key floor is chosen by what keys alone do to a continuation, and what is on offer above it. The replay is made up: how far the model
// moves is a multiple of the keys' relative squared error, summed here, and a far larger one of the values'.

import { describe, expect, test } from "vitest";
import type { Rows } from "../../../src/calibrate/replay";
import { type HeadDims, headStatistics, rowsOf } from "../../../src/calibrate/statistics";
import { FLOOR_BOUND, Study, type StudyLayer } from "../../../src/calibrate/study";
import { DROPPED } from "../../../src/kernels/prefill-attention";
import { float16Bits } from "../../../src/load/float16";
import { normals } from "../../kernels/fixtures";

const dims: HeadDims = { heads: 4, kvHeads: 2, headSize: 32, sinks: 4 };
const rule = { kappa: 0.3, power: 1.2, recency: 0, recencySpan: 32, sinks: 4, ring: 16, ringBits: 16 as const };
const T = 120;

const layers = [layer(10), layer(20), layer(30)];

function layer(seed: number): StudyLayer {
  const halves = (at: number): Uint16Array => Uint16Array.from(normals(at, 2 * T * 32), float16Bits);
  const rows = { tokens: T, queries: normals(seed, T * 4 * 32), rotated: normals(seed + 1, T * 4 * 32), keys: halves(seed + 2), values: halves(seed + 3) };
  const importance = normals(seed + 4, 2 * T).map((value) => Math.exp(2 * value) / T / 7);
  return { ...rows, importance, residualPower: 1, heads: [0, 1].map((head) => headStatistics(rows, head, dims)) };
}

/** A model that `gain` times the keys' error moves; notes every layer's rows it was asked about. */
class MadeUpReplay {
  readonly seen: { readonly own: StudyLayer; readonly rows: Rows }[] = [];
  constructor(private readonly gain: number) {}

  divergence = async (changed: (layer: number) => Rows | undefined): Promise<number> => {
    let kl = 0;
    for (const [index, own] of layers.entries()) {
      const rows = changed(index);
      if (!rows) continue;
      this.seen.push({ own, rows });
      kl += (this.gain * relativeError(own.keys, rows.keys) + 1e6 * relativeError(own.values, rows.values)) / layers.length;
    }
    return kl;
  };
}

/** Squared error over squared length, all heads and tokens together. */
function relativeError(exact: Uint16Array, coded: Uint16Array): number {
  let [errors, lengths] = [0, 0];
  for (let head = 0; head < 2; head++) {
    const rows = rowsOf(coded, head, T, 32);
    rowsOf(exact, head, T, 32).forEach((row, t) => {
      for (const [i, value] of row.entries()) {
        errors += (value - rows[t]![i]!) ** 2;
        lengths += value ** 2;
      }
    });
  }
  return errors / lengths;
}

/** The floor found, what was said, and a study that knows it. */
async function floorAt(gain: number) {
  const said: string[] = [];
  const study = new Study(layers, () => rule, dims, { say: (line) => said.push(line) });
  return { floor: await study.findFloor(new MadeUpReplay(gain)), said: said.join("\n"), study };
}

// Rounding a Gaussian vector to 4 bits leaves .0075 of its energy, to 8 bits 3e-5 (cache/formats): gains that put the bound between them.
describe("the key floor", () => {
  test("is none where keys at 4 bits stay within the bound, whatever their values would do", async () => {
    const { floor, said } = await floorAt(1);
    expect(floor).toBeUndefined();
    expect(said).toMatch(/keys at 4 bits: mean KL 0\.00\d+, at most 0\.02\nno key floor$/);
  });

  test("is 8 bits where 4 are above the bound and 8 within", async () => {
    const { floor, said } = await floorAt(10);
    expect(floor).toBe("k8v4");
    expect(said).toMatch(/keys at 4 bits: mean KL 0\.0\d+, above 0\.02\nkeys at 8 bits: mean KL 0\.000\d+, at most 0\.02\nkey floor k8v4$/);
  });

  test("is 16 bits where 8 are above the bound, too", async () => {
    const { floor, said } = await floorAt(3000);
    expect(floor).toBe("k16v16");
    expect(said).toMatch(/keys at 8 bits: mean KL 0\.0\d+, above 0\.02\nkey floor k16v16$/);
  });
});

describe("shares are tried", () => {
  /** The greatest relative error of a key that was not dropped, and whether any was. */
  async function worstKey(gain: number): Promise<{ readonly error: number; readonly dropped: boolean }> {
    const { study } = await floorAt(gain);
    const replay = new MadeUpReplay(1);
    const shares = await study.bestShares(replay, [1, 2, 3]);
    for (const { shares: parts } of shares) expect(parts.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
    let [error, dropped] = [0, false];
    for (const { own, rows } of replay.seen)
      for (let head = 0; head < 2; head++) {
        const kept = rowsOf(rows.keys, head, T, 32);
        rowsOf(own.keys, head, T, 32).forEach((row, t) => {
          if (rows.keys[(head * T + t) * 32] === DROPPED) dropped = true;
          else error = Math.max(error, row.reduce((sum, value, i) => sum + (value - kept[t]![i]!) ** 2, 0) / row.reduce((sum, value) => sum + value ** 2, 0));
        });
      }
    return { error, dropped };
  }

  test("with every format where there is no floor", async () => {
    expect((await worstKey(1)).error).toBeGreaterThan(FLOOR_BOUND);
  });

  test("with keys of 8 bits, or none, above a floor of 8", async () => {
    const { error, dropped } = await worstKey(10);
    expect(dropped).toBe(true);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(1e-3);
  });

  test("with keys of 16 bits, or none, above a floor of 16", async () => {
    expect(await worstKey(3000)).toEqual({ error: 0, dropped: true });
  });

  test.each([
    ["moves the continuation least", [0.012, 0.0093, 0.008, 0.015, 0.015], "geometric mean"],
    ["leans less on sensitivity, within a twentieth", [0.012, 0.0093, 0.0092, 0.015, 0.015], "a quarter of the way to sensitivity"],
    ["is by residual power alone, where nothing else is better", [0.012, 0.0118, 0.0119, 0.015, 0.015], "1 / residual power"],
    ["is none at all, where every other one hurts", [0.2, 0.2, 0.2, 0.2, 0.1], "equal"],
  ])("and the one taken %s", async (_, divergences, name) => {
    const { study } = await floorAt(1);
    let asked = 0;
    const shares = await study.bestShares({ divergence: async () => divergences[asked++ % divergences.length]! }, [1, 2, 3]);
    expect(shares.map(({ ratio }) => ratio)).toEqual([0.0625, 0.125, 0.25]);
    for (const { ratio, shares: parts } of shares)
      expect(parts).toEqual(study.shares(ratio, study.weighings([1, 2, 3]).find((weighing) => weighing.name === name)!));
  });

  test("by weights between what the residual stream and sensitivity say", () => {
    const study = new Study(
      layers.map((one) => ({ ...one, residualPower: 4 })),
      () => rule,
      dims,
    );
    const weights = study.weighings([1, 16, 81]).map(({ weights: each }) => each);
    for (const [weighing, expected] of [
      [0.25, 0.25, 0.25],
      [4 ** -0.75, 2 * 4 ** -0.75, 3 * 4 ** -0.75],
      [0.5, 2, 4.5],
      [1, 16, 81],
    ].entries())
      for (const [layer, weight] of expected.entries()) expect(weights[weighing]![layer]).toBeCloseTo(weight, 12);
    expect(weights[4]).toBeUndefined();
  });

  test("with the rings and sinks that a cache of that ratio has", () => {
    const of = (ring: number): number[] =>
      new Study(layers, (ratio) => ({ ...rule, ring: ratio < 0.5 ? ring : rule.ring }), dims).shares(0.25, { name: "", weights: [1, 4, 16] });
    expect(Math.max(...of(4))).toBeGreaterThan(Math.max(...of(8))); // what all layers have alike is a smaller part
  });
});

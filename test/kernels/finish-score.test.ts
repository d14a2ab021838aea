// finish-score: the methods that score by attention received, through all their kernels, against the f64 references and against kvpress's own numbers.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { finishScore } from "../../src/kernels/finish-score";
import type { RopePairing } from "../../src/model/model-config";
import type { ScoreOptions } from "../../src/policy/scorers/scorer";
import { type Dims, keepSet, weighByValueNorm } from "../reference/expected-attention";
import { goldenDims, goldenInputs, goldenKeep, goldenOutputs, goldenRope } from "../reference/kvpress-golden";
import { attentionHistory, blockMaximum, followerAttention, overDistance } from "../reference/scorers/attention-history";
import { cake } from "../reference/scorers/cake";
import { h2o, h2oExposed } from "../reference/scorers/h2o";
import { defensive, snapkv, tova } from "../reference/scorers/window";
import { rotateRows, type ScoringCase, scoringCase } from "../reference/scoring-case";
import { averagePool, maxPool } from "../reference/snapkv";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench, scorePrompt } from "./score-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

type Scoring = Partial<ScoreOptions> & Pick<ScoreOptions, "kind">;

describe("kvpress's own numbers", () => {
  const inputs = goldenInputs();
  const golden: ScoringCase = { dims: goldenDims, rope: goldenRope, ...inputs, rotated: rotateRows(inputs.queries, goldenRope, goldenDims) };
  const { T, G } = goldenDims;
  const whole = { ...goldenDims, sinks: 0 };

  test("SnapKV, window 4, mean of 3", async () => {
    const { importance } = await scorePrompt(gpu, golden, { kind: "snapkv", sinks: 0, window: 4, pool: 3 }, { chunk: 10, storage: "f32" });
    expectClose(importance.subarray(0, 4), goldenOutputs.snapkv, tolerances.score);
    for (let g = 0; g < G; g++) expect(keepSet(importance, g, goldenKeep, whole)).toEqual(goldenOutputs.keepSnapkv[g]);
  });

  test("TOVA", async () => {
    const { importance } = await scorePrompt(gpu, golden, { kind: "tova", sinks: 0 }, { chunk: 10, storage: "f32" });
    expectClose(importance.subarray(0, 4), goldenOutputs.tova, tolerances.score);
    expectClose(importance.subarray(T, T + 4), goldenOutputs.tova, tolerances.score);
    for (let g = 0; g < G; g++) expect(keepSet(importance, g, goldenKeep, whole)).toEqual(goldenOutputs.keepTova);
  });
});

const shapes: [Dims, RopePairing, number][] = [
  [{ T: 130, H: 9, G: 3, D: 64, sinks: 4 }, "neighbour", 48],
  [{ T: 63, H: 2, G: 2, D: 32, sinks: 0 }, "half", 63],
  [{ T: 9, H: 2, G: 1, D: 32, sinks: 4 }, "half", 4],
];

describe.each(shapes)("%o", (dims, pairing, chunk) => {
  const given = scoringCase(dims, pairing);
  const { keys, values, rotated } = given;
  const { T, H, G, D, sinks } = dims;
  const last = (window: number): Float64Array => rotated.subarray((T - Math.min(window, T)) * H * D);

  async function check(scoring: Scoring, want: Float64Array, kept = 0): Promise<void> {
    const { importance } = await scorePrompt(gpu, given, { sinks, ...scoring }, { chunk });
    const end = Math.max(sinks, T - kept);
    for (let g = 0; g < G; g++) {
      expectClose(importance.subarray(g * T + sinks, g * T + end), want.subarray(g * T + sinks, g * T + end), tolerances.score);
      const others = Math.max(0, ...want.subarray(g * T + sinks, g * T + end));
      for (const score of importance.subarray(g * T + end, (g + 1) * T)) expect(score).toBeGreaterThan(1 + others);
    }
  }

  test.each([
    [64, 5, "mean"],
    [32, 7, "max"],
    [7, 1, "max"],
  ] as const)("SnapKV, window %d, pool %d, %s", (window, kernel, pool) => {
    const options = { queries: last(window), window: Math.min(window, T), keys, pool, kernel, keepWindow: true };
    return check({ kind: "snapkv", window, pool: kernel, poolKind: pool }, snapkv(options, dims), window);
  });

  test.each([
    [32, 5, "mean", 200],
    [7, 3, "max", 20],
  ] as const)("CAKE, window %d, pool %d, %s, gamma %d", (window, kernel, pool, gamma) => {
    const options = { queries: last(window), window: Math.min(window, T), keys, pool, kernel };
    return check({ kind: "cake", window, pool: kernel, poolKind: pool, gamma }, cake(options, gamma, dims), window);
  });

  test("TOVA", () => check({ kind: "tova" }, tova(last(1), keys, dims), 1));

  test("H2O, cumulative and by exposure", async () => {
    const all = { queries: rotated, keys };
    await check(
      { kind: "h2o" },
      h2o(all, dims).map((score) => score / T),
    );
    await check({ kind: "h2o", reduce: "mean" }, h2oExposed(all, dims));
  });

  test.each([
    [512, 8, undefined],
    [7, 5, undefined],
    [512, 8, 0.5],
    [512, 8, 0],
    [7, 5, 0.25],
    [512, 3, 1],
  ])("attention history, %d followers, blocks of %d, exponent %s", (followers, block, exponent) => {
    const [given, twin] = exponent === undefined ? [{}, {}] : [{ distance: exponent }, { exponent }];
    const want = attentionHistory({ queries: rotated, keys }, { followers, block, heads: "all", ...twin }, dims);
    return check({ kind: "attention-history", window: followers, block, ...given }, want);
  });

  test("defensive", async () => {
    const most = defensive({ queries: last(32), keys }, dims);
    await check({ kind: "defensive" }, weighByValueNorm(maxPool(most, 3, dims), values, 0, dims));
    await check({ kind: "defensive", pool: 1 }, defensive({ queries: last(32), keys, values }, dims));
  });
});

test("AGACC's running average, by hand: even attention, two heads, two layers, two followers", async () => {
  // Keys of zeros: the query of position t pays 1 / (t + 1) to each of 0 to t. Sums over layers, heads and followers over L H N_q = 2 * 2 * 2:
  // S_0 = (4/2 + 4/3) / 8, S_1 = (4/3 + 4/4) / 8; S_2 = (4/4) / 4, as one follower has come; S_3, which none follows, is the mean of these.
  const [first, second, third] = [5 / 12, 7 / 24, 1 / 4];
  const average = [first, second, third, (first + second + third) / 3];
  const dims: Dims = { T: 4, H: 2, G: 1, D: 8, sinks: 0 };
  const given = { ...scoringCase(dims, "half"), keys: new Float64Array(dims.T * dims.D) };
  const { importance } = await scorePrompt(gpu, given, { kind: "attention-history", sinks: 0, window: 2, block: 1 }, { chunk: 3 });
  expectClose(
    importance,
    average.map((score, position) => score * Math.sqrt(1 + 4 - position)), // over P(d) = (1 + d)^-1/2, the next token's position being 4
    tolerances.score,
  );
  const twin = { queries: given.rotated, keys: given.keys };
  const options = { followers: 2, block: 1, heads: "all", exponent: 0 } as const;
  expectClose(attentionHistory(twin, options, dims, [followerAttention(twin, options, dims)]), average, tolerances.f64);
});

test("every part at once: exposure, floor, mean pool, distance, blocks and a plane of norms", async () => {
  const bench = new KernelBench(await testGpu());
  const dims = { T: 70, G: 2, sinks: 3 };
  const { T, G, sinks } = dims;
  const received = Float64Array.from({ length: G * T }, (_, n) => Math.fround(Math.abs(Math.sin(n * n))));
  const norms = Float64Array.from({ length: G * T }, (_, n) => Math.fround(1 + Math.cos(n)));
  const importance = bench.floats(G * T);
  const op = finishScore(
    bench.gpu,
    { kvHeads: G },
    {
      params: bench.params(dims, { epsilon: 0.25 }),
      received: bench.floats(received),
      importance,
      exposure: "seen",
      queries: 20,
      floored: true,
      pool: 5,
      poolKind: "mean",
      distance: 0.75,
      block: 6,
      norms: { plane: bench.floats(norms), stride: 1 },
    },
  );
  const got = await bench.run(op, importance, G * T);
  for (let g = 0; g < G; g++) {
    const each = [...received.subarray(g * T, (g + 1) * T)].map((sum, t) => sum / Math.min(20, T - t));
    const floor = each.slice(sinks).reduce((sum, score) => sum + score / (T - sinks), 0);
    const pooled = averagePool(
      each.map((score) => Math.max(score, floor)),
      5,
    );
    const want = blockMaximum(overDistance(pooled, T, { T }, 0.75), 6, dims).map((score, t) => (score + 0.25) * norms[g * T + t]!);
    expectClose(got.subarray(g * T + sinks, (g + 1) * T), want.subarray(sinks), tolerances.score);
  }
  bench.dispose();
});

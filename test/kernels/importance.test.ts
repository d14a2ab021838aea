// importance: the score from its parts, for every kind; ties, an outlier and a prompt of sinks alone.

import { afterAll, beforeAll, expect, test } from "vitest";
import { importance } from "../../src/kernels/importance";
import { momentFloats } from "../../src/kernels/scoring";
import { ensemble } from "../reference/ensemble";
import { type Dims, expectedAttention } from "../reference/expected-attention";
import { logNormalizers } from "../reference/group-moments";
import { gaussian, scoringCase, seeded } from "../reference/scoring-case";
import { maxPool } from "../reference/snapkv";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

const D = 8;

async function run(dims: Dims, kind: { ensemble: boolean; valueNorm: boolean; epsilon: number }) {
  const { T, H, G } = dims;
  const normal = gaussian(seeded(3));
  const logits = Float64Array.from({ length: H * T }, (_, n) => (n % T === 9 ? 12 : normal())); // one slot takes nearly all
  const valueNorms = Float64Array.from({ length: G * T }, () => 1 + Math.abs(normal()));
  const diversity = Float64Array.from({ length: G * T }, () => Math.abs(normal()));
  const condensed = Float64Array.from({ length: G * T }, normal);
  const received = Float64Array.from({ length: G * T }, (_, n) => (n % T < dims.sinks ? 100 : n % 5 === 0 ? 0.5 : Math.abs(normal()) / T)); // ties; sinks must not leak
  const interleave = (a: Float64Array, b: Float64Array): number[] => [...a].flatMap((x, n) => [x, b[n]!]);
  const floats = momentFloats({ headSize: D });
  const [moments, scores] = [bench.floats(G * floats), bench.floats(Array.from({ length: G * T }, () => -1))];
  const op = importance(
    bench.gpu,
    { heads: H, kvHeads: G, headSize: D, rope: scoringCase(dims, "half").rope },
    {
      params: bench.params(dims, { epsilon: kind.epsilon }),
      logits: bench.floats(logits),
      norms: bench.floats(
        interleave(
          valueNorms.map(() => Number.NaN),
          valueNorms,
        ),
      ),
      terms: bench.floats(interleave(diversity, condensed)),
      received: bench.floats(received),
      moments,
      importance: scores,
      ...(kind.ensemble && { ensemble: { expected: 1 / 4, window: 1 / 4, diversity: 1 / 2 } }),
      valueNorm: kind.valueNorm,
    },
  );
  const got = await bench.run(op, scores, G * T);
  const record = await bench.read(moments, G * floats);
  const scalars = Array.from({ length: G }, (_, g) => [...record.subarray((g + 1) * floats - 4, (g + 1) * floats - 2)]);
  return { got, scalars, expected: expectedAttention(logits, dims), valueNorms, diversity, condensed, received };
}

const pastSinks = (row: ArrayLike<number>, { T, sinks }: Dims): number[] => Array.from(row).filter((_, n) => n % T >= sinks);

test.each<[Dims]>([[{ T: 24, H: 4, G: 2, D, sinks: 4 }], [{ T: 63, H: 3, G: 1, D, sinks: 0 }], [{ T: 130, H: 3, G: 3, D, sinks: 4 }]])("%o", async (dims) => {
  const plain = await run(dims, { ensemble: false, valueNorm: false, epsilon: 0 });
  expectClose(pastSinks(plain.got, dims), pastSinks(plain.expected, dims), tolerances.score);
  const weighed = await run(dims, { ensemble: false, valueNorm: true, epsilon: 0.02 });
  expectClose(
    pastSinks(weighed.got, dims),
    pastSinks(
      weighed.expected.map((e, n) => (e + 0.02) * weighed.valueNorms[n]!),
      dims,
    ),
    tolerances.score,
  );
  const mixed = await run(dims, { ensemble: true, valueNorm: true, epsilon: 0.02 });
  const want = ensemble(mixed.expected, maxPool(mixed.received, 3, dims), mixed.diversity, dims);
  expectClose(pastSinks(mixed.got, dims), pastSinks(want, dims), tolerances.score);
  for (let g = 0; g < dims.G; g++) {
    const sum = pastSinks(mixed.diversity.subarray(g * dims.T, (g + 1) * dims.T), dims).reduce((a, b) => a + b, 0);
    expectClose(mixed.scalars[g]!, [logNormalizers(mixed.condensed, dims)[g]!, sum], tolerances.normalizers);
  }
  expect(
    Array.from(mixed.got)
      .filter((_, n) => n % dims.T < dims.sinks)
      .every((score) => score === -1),
    "sinks are left alone",
  ).toBe(true);
});

test("a prompt of sinks alone has no scores and a harmless scale", async () => {
  const { got, scalars } = await run({ T: 3, H: 2, G: 1, D, sinks: 4 }, { ensemble: true, valueNorm: false, epsilon: 0 });
  expect([...got]).toEqual([-1, -1, -1]);
  expect(scalars).toEqual([[0, 1]]);
});

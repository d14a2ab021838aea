// sample: the same ids as the f64 reference for 200 seeds under each set of options; frequencies; ties; the penalty's window; bad logits.

import { afterAll, describe, expect, test } from "vitest";
import { StepBuffer } from "../../src/gpu/step";
import { bindSampler, type SamplerOptions } from "../../src/kernels/sample";
import { distribution, sample } from "../reference/sample";
import { normals, upload } from "./fixtures";
import { hardwareLikeGpu, testGpu } from "./gpu";

describe.each([
  ["software", testGpu],
  ["hardware", hardwareLikeGpu],
] as const)("sample as on %s adapters", async (_, open) => {
  const gpu = await open();
  afterAll(() => gpu.dispose());

  const GREEDY: SamplerOptions = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

  interface Draw {
    readonly id: number;
    readonly bad: number;
  }

  /** One draw per (seed, index), all from the same untouched logits: the penalty, which changes them, is not for this. */
  async function draws(
    logits: Float32Array,
    sampling: SamplerOptions,
    steps: readonly { seed: number; index: number }[],
    recentIds: readonly number[] = [],
  ): Promise<Draw[]> {
    const step = new StepBuffer(gpu, "Test");
    const token = gpu.createBuffer("Test.token", 8, "scratch");
    const results = gpu.createBuffer("Test.results", steps.length * 8, "scratch");
    const sampler = bindSampler(gpu, { vocab: logits.length, step: step.buffer, logits: upload(gpu, logits), token, sampling, recentIds });
    await gpu.kernels.ready();
    steps.forEach((values, i) => {
      step.write(values);
      const recorder = gpu.record("Test");
      sampler.record(recorder);
      recorder.copy(token, 0, results, i * 8, 8);
      recorder.submit();
    });
    const words = new Uint32Array(await gpu.read(results));
    sampler.dispose();
    return steps.map((_, i) => ({ id: words[2 * i] as number, bad: words[2 * i + 1] as number }));
  }

  test.each([
    ["greedy", {}],
    ["temperature", { temperature: 1 }],
    ["hot", { temperature: 5 }],
    ["top-k 1", { temperature: 1, topK: 1 }],
    ["top-k 40", { temperature: 2, topK: 40 }],
    ["top-p 0.9", { temperature: 1, topP: 0.9 }],
    ["min-p 0.05", { temperature: 1.5, minP: 0.05 }],
    ["min-p 1", { temperature: 1, minP: 1 }],
    ["all together", { temperature: 0.8, topK: 100, topP: 0.95, minP: 0.01 }],
  ] as const)("%s: 200 seeds choose as the reference does", async (_, options) => {
    const sampling = { ...GREEDY, ...options };
    const logits = normals(3, 3073, 1).map((value) => value * 2.5); // an odd vocabulary
    const steps = Array.from({ length: 200 }, (_, i) => ({ seed: Math.imul(i, 0x9e3779b1) >>> 0, index: i % 7 }));
    const got = await draws(logits, sampling, steps);
    expect(got).toEqual(steps.map(({ seed, index }) => ({ id: sample(logits, sampling, seed, index), bad: 0 })));
  });

  test("frequencies of 2,000 draws fit the distribution", async () => {
    const sampling = { ...GREEDY, temperature: 1, topP: 0.9 };
    const logits = Float32Array.from({ length: 40 }, (_, id) => -id / 6);
    const steps = Array.from({ length: 2000 }, (_, index) => ({ seed: 12345, index }));
    const counts = new Float64Array(40);
    for (const { id } of await draws(logits, sampling, steps)) counts[id] = (counts[id] as number) + 1;
    const wanted = distribution(logits, sampling).map((p) => p * steps.length);
    const support = [...wanted].filter((count) => count > 0).length;
    expect([...counts].filter((count, id) => count > 0 && wanted[id] === 0)).toEqual([]);
    const chiSquared = counts.reduce((sum, count, id) => sum + (wanted[id] ? (count - (wanted[id] as number)) ** 2 / (wanted[id] as number) : 0), 0);
    expect(chiSquared).toBeLessThan(support - 1 + 4 * Math.sqrt(2 * (support - 1))); // four standard deviations; the seed is fixed
  });

  test("equal logits: greedy takes the lowest id, across slices too", async () => {
    const logits = new Float32Array(20000).fill(-1);
    for (const id of [19999, 9000, 8191]) logits[id] = 2;
    expect(await draws(logits, GREEDY, [{ seed: 0, index: 0 }])).toEqual([{ id: 8191, bad: 0 }]);
  });

  test("an id seen twice is penalised once", async () => {
    const logits = new Float32Array(100).fill(-5);
    logits.set([10, 6], 1);
    const recent = [1, ...Array.from({ length: 62 }, () => 50), 1]; // far apart: in other subgroups, which do not run in step
    expect(await draws(logits, { ...GREEDY, repetitionPenalty: 1.5 }, [{ seed: 0, index: 0 }], recent)).toEqual([{ id: 1, bad: 0 }]); // 10 / 1.5 > 6
  });

  test("the penalty looks at the last 64 ids, and follows what is sampled", async () => {
    const sampling = { ...GREEDY, repetitionPenalty: 1.5 };
    const logits = new Float32Array(100).fill(-5);
    logits.set([10, 9, 8, 7], 1); // ids 1..4
    const recent = [2, ...Array.from({ length: 62 }, (_, i) => 50 + (i % 3)), 1, 1]; // the 2 is out of the window
    expect((await draws(logits, sampling, [{ seed: 0, index: 0 }], recent))[0]?.id).toBe(sample(logits, sampling, 0, 0, [1]));
    // In place, 2 is chosen and enters the window: 9 / 1.5 = 6 next time, below 3's 8; then 4's 7; 1 falls to 10 / 1.5 / 1.5 ...
    const ids = (
      await draws(
        logits,
        sampling,
        [0, 1, 2].map((index) => ({ seed: 0, index })),
        recent,
      )
    ).map(({ id }) => id);
    expect(ids).toEqual([2, 3, 4]);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("%d among the logits is told", async (value) => {
    const logits = normals(5, 9000);
    logits[8999] = value;
    for (const temperature of [0, 1]) expect((await draws(logits, { ...GREEDY, temperature }, [{ seed: 1, index: 0 }]))[0]?.bad).toBe(1);
  });
});

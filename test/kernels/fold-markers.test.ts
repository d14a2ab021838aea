// fold-markers: means, weights and counts against the f64 twin, whatever the dropped slots were coded in; attention with markers.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { half } from "../reference/codec";
import { biasOf, foldMarkers } from "../reference/markers";
import { markerRows, meansOf } from "../reference/page-table";
import { randomCalibration } from "../reference/random-bases";
import { expectClose, tolerances } from "../tolerances";
import { type BenchShape, CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";
import { MarkerCase, NOWHERE } from "./marker-case";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const shapes: BenchShape[] = [
  { D: 32, G: 2, group: 3 },
  { D: 64, G: 3, group: 3 },
  { D: 96, G: 1, group: 8 },
  { D: 128, G: 2, group: 1 },
];

async function expectMeans(run: MarkerCase): Promise<void> {
  const got = await run.got();
  for (const [layer, heads] of run.want.entries())
    for (const [head, want] of heads.entries())
      for (const [index, marker] of want.entries()) {
        const row = got[layer]?.[head]?.[index];
        if (!row) expect.fail(`layer ${layer}, head ${head} has no marker ${index}`);
        expectClose([row.bias, row.weight / marker.weight], [biasOf(marker), 1], tolerances.markers);
        if (marker.count > 0) expectClose([...row.key, ...row.value], [...marker.key, ...marker.value], tolerances.markers);
      }
}

function budgetOf({ D, G }: BenchShape, slots: number): number {
  return 2 * G * slots * (D + 1) * 4;
}

describe.each(shapes)("D $D, $G kv heads of $group queries", (shape) => {
  test("a prompt's markers, and attention with them", async () => {
    const run = new MarkerCase(gpu, shape, { precision: { kind: "evict-only" }, markers: { count: 5 } }, { tokens: 202, budgetBytes: budgetOf(shape, 90) });
    const long = Float64Array.from({ length: shape.D }, (_, c) => half(20 * Math.sin(c + 1)));
    await run.prompt(200, (position) => (position === 50 ? { key: long, importance: 1e-9 } : {}));
    await expectMeans(run);
    for (const { got, stored } of await run.append(undefined, true)) expectClose(got, stored, tolerances.cacheAttention);
    run.bench.dispose();
  });
});

test.each([
  ["16 bits", { kind: "evict-only" }, 75],
  ["Hadamard", { kind: "tiers", formats: ["k2v2", "k4v2", "k8v4", "k16v16"] }, 45],
  ["sparse", { kind: "tiers", formats: ["k4v4-quarter", "k8v8-half", "k8v8"] }, 45],
  ["calibrated", { kind: "tiers", formats: ["k1.5v1", "k3v2", "k4v4"] }, 28],
] as const)("slots dropped from pages join too: %s", async (_, precision, slots) => {
  const shape = { D: 64, G: 2, group: 1 };
  const policy: PolicySpec = { precision, markers: { count: 3 } };
  const run = new MarkerCase(gpu, shape, policy, {
    tokens: 240,
    budgetBytes: budgetOf(shape, slots),
    calibration: randomCalibration({ L: 2, H: 2, G: 2, D: 64 }),
  });
  await run.prompt(150);
  for (let i = 0; i < 80; i++) {
    const attention = i % 20 === 19;
    for (const { got, stored } of await run.append(undefined, attention)) expectClose(got, stored, tolerances.cacheAttention);
    if (attention) await expectMeans(run);
  }
  run.bench.dispose();
});

test("a span of equal keys and importance: attention with its marker is attention over all its tokens", async () => {
  const shape = { D: 64, G: 2, group: 2 };
  const same = Float64Array.from({ length: 64 }, (_, c) => half(0.7 * Math.cos(c)));
  const run = new MarkerCase(gpu, shape, { precision: { kind: "evict-only" }, markers: { count: 2 } }, { tokens: 201, budgetBytes: budgetOf(shape, 100) });
  await run.prompt(200, (position) => (position >= 40 && position < 180 ? { key: same, importance: 1e-9 } : { importance: 1 }));
  expect(run.want[0]?.[0]?.reduce((sum, { count }) => sum + count, 0)).toBe(140);
  for (const { got, exact } of await run.append(undefined, true)) expectClose(got, exact, tolerances.markers);
  run.bench.dispose();
});

test("markers without values: nothing is dropped, so that they stay empty and attention is that without them", async () => {
  const shape = { D: 64, G: 2, group: 2 };
  const bench = new CacheBench(gpu, shape, { precision: { kind: "evict-only" }, markers: { count: 3 } }, { tokens: 140, budgetBytes: budgetOf(shape, 240) });
  await bench.prompt(120);
  for (let i = 0; i < 20; i++) for (const { got, exact } of await bench.append(undefined, i % 6 === 1)) expectClose(got, exact, tolerances.cacheAttention);
  const words = await bench.words();
  for (const layer of [0, 1])
    for (const head of [0, 1])
      for (const { bias, count, first } of markerRows(words, layer, head))
        expect({ bias, count, first }).toEqual({ bias: Math.fround(-1e30), count: 0, first: NOWHERE });
  bench.dispose();
});

test("markers of what is all worth nothing: its plain means, no NaN", async () => {
  const shape = { D: 64, G: 2, group: 2 };
  const run = new MarkerCase(gpu, shape, { precision: { kind: "evict-only" }, markers: { count: 3 } }, { tokens: 201, budgetBytes: budgetOf(shape, 90) });
  const { bench } = run;
  await run.prompt(200, () => ({ importance: 0 }));
  const [got, words] = [await run.got(), await bench.words()];
  run.want = bench.truth.map((heads, layer) =>
    heads.map((rows, head) => {
      const kept = new Set(bench.slots(words, layer, head).map(({ position }) => position));
      const dropped = rows.map((slot, position) => ({ ...slot, importance: 1, position })).filter(({ position }) => !kept.has(position));
      return foldMarkers([], { firstPosition: bench.policy.sinks, existing: false, dropped }, 3);
    }),
  );
  for (const [layer, heads] of run.want.entries())
    for (const [head, want] of heads.entries()) {
      expect(want).toHaveLength(3);
      for (const [index, marker] of want.entries()) {
        const row = got[layer]?.[head]?.[index];
        expectClose([row?.bias ?? Number.NaN], [biasOf(marker)], tolerances.markers);
        expectClose([...(row?.key ?? []), ...(row?.value ?? [])], [...marker.key, ...marker.value], tolerances.markers);
      }
    }
  for (const { got, stored } of await run.append(() => ({ importance: 0 }), true)) expectClose(got, stored, tolerances.cacheAttention);
  bench.dispose();
});

test("a plain marker says nothing of its span: the head's means, and no more weight than one token", async () => {
  const shape = { D: 64, G: 2, group: 2 };
  const policy: PolicySpec = { precision: { kind: "evict-only" }, markers: { count: 3, kind: "plain" } };
  const run = new MarkerCase(gpu, shape, policy, { tokens: 201, budgetBytes: budgetOf(shape, 90) });
  await run.prompt(200);
  const [rows, words] = [await run.got(), await run.bench.words()];
  for (const [layer, heads] of rows.entries())
    for (const [head, markers] of heads.entries()) {
      const [key, value] = meansOf(words, layer, head);
      expect(markers.map(({ bias, count }) => ({ bias, count }))).toEqual(run.want[layer]?.[head]?.map(({ count }) => ({ bias: 0, count })));
      for (const marker of markers) expect([marker.key, marker.value]).toEqual([key, value]);
    }
  for (const { got, stored } of await run.append(undefined, true)) expectClose(got, stored, tolerances.cacheAttention);
  run.bench.dispose();
});

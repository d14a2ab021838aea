// gather-slots: every slot in pages and every incoming one, once, with its importance, its logit's noise and what dropping it costs.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/device";
import { bindGatherSlots } from "../../src/kernels/gather-slots";
import { recentMass } from "../reference/choose-formats";
import { type Coded, decodeKlt, dot, type Folded } from "../reference/codec";
import { foldedOf, meansOf, slotsInPages, slotsInRing } from "../reference/page-table";
import { randomCalibration } from "../reference/random-bases";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

test.each([
  ["of four formats", "rate-distortion", ["k2v2", "k4v2", "k8v4", "k16v16"], 55_000],
  ["calibrated ones among them", "tiers", ["k1.5v1", "k2v2-klt", "k2v2", "k4v4", "k8v8"], 38_000],
] as const)("slots in pages, %s, and five more from a wrapping source", async (_, kind, formats, budgetBytes) => {
  const [D, G, layer, most, incoming] = [64, 2, 1, 300, 5];
  const bench = new CacheBench(
    gpu,
    { D, G, group: 1 },
    { precision: { kind, formats }, pinned: [[30, 40]], ringBits: 16 },
    { tokens: 240, budgetBytes, calibration: randomCalibration({ L: 2, H: G, G, D }) },
  );
  await bench.prompt(210);
  const { buffers, plan } = bench.cache;
  const words = await bench.words();
  const make = (part: string, bytes: number): GPUBuffer => gpu.createBuffer(`Test.${part}`, bytes, "scratch");
  const [lifted, candidates, counts, importance, energy] = [
    make("lifted", plan.maxPages * plan.layout.pageBytes),
    make("candidates", G * most * 16),
    make("counts", 16),
    make("importance", G * 40 * 4),
    make("energy", 16),
  ];
  const step = gpu.createBuffer("Test.step", 64, "scratch", { usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  // The lifted copy by hand: pages in the order of the table.
  const used = words.tables[layer * plan.tableStride + 1] ?? 0;
  const ids = words.tables.subarray(layer * plan.tableStride + 4 + 2 * G * formats.length).subarray(0, used);
  for (const [index, page] of ids.entries())
    gpu.write(lifted, index * plan.layout.pageBytes, words.pool.slice(page * plan.layout.pageWords, (page + 1) * plan.layout.pageWords));
  const scores = Float32Array.from({ length: G * 40 }, (_, i) => (i + 1) / 1000);
  gpu.write(importance, 0, scores);
  gpu.write(energy, 0, Float32Array.of(70, 90));
  // Incoming: positions 204 to 208, which stand in rows 12 to 15 and 0 of the ring's 16.
  const now = 220;
  gpu.write(step, 0, Uint32Array.of(incoming, 204, 12, 4, 16, plan.ringSlots, plan.openPlane, most, 40, 1, 0, 0, now, 0, 0, 0));
  const op = bindGatherSlots(gpu, plan.geometry, {
    info: buffers.info,
    step,
    table: buffers.table(layer),
    lifted,
    source: buffers.openRows(layer),
    bases: buffers.bases(layer),
    importance,
    queryEnergy: energy,
    candidates,
    counts,
  });
  await gpu.kernels.ready();
  const recorder = gpu.record();
  op.record(recorder, most);
  recorder.submit();
  const got = new DataView(await gpu.read(candidates));
  const gotCounts = new Uint32Array(await gpu.read(counts));
  for (let head = 0; head < G; head++) {
    const [keyMean, valueMean] = meansOf(words, layer, head);
    const slots = slotsInPages(words, layer, head);
    const ring = slotsInRing(words, layer, head, 210, 8)
      .filter(({ position }) => position >= 204 && position < 204 + incoming)
      .map(({ position, key, value }) => ({ position, key, value, importance: scores[head * 40 + 4 + (position % 16)] ?? 0 }));
    expect(ring.length).toBe(incoming);
    const all = [...slots, ...ring];
    expect(gotCounts[head]).toBe(all.length);
    expect(new Set(slots.map(({ format }) => format)).size).toBeGreaterThan(2);
    const wanted = all.flatMap((slot) => {
      const { key, value, importance: p, position } = slot;
      const [k, v] = [key.map((x, c) => x - (keyMean[c] ?? 0)), value.map((x, c) => x - (valueMean[c] ?? 0))];
      const format = "format" in slot ? bench.policy.formats[slot.format] : undefined;
      const energy = "keyCoded" in slot && format?.basis === "klt" ? kltEnergy(slot.keyCoded, format.keyGroups, foldedOf(words, layer, head)) : dot(k, k);
      return [p, (energy * (head === 0 ? 70 : 90)) / D ** 2, (p + recentMass(now - position, bench.policy)) ** bench.policy.power * dot(v, v)];
    });
    const at = (index: number): number => (head * most + index) * 16;
    const found = all.flatMap((_, index) => [
      Math.abs(got.getFloat32(at(index) + 4, true)),
      got.getFloat32(at(index) + 8, true),
      got.getFloat32(at(index) + 12, true),
    ]);
    expectClose(found, wanted, tolerances.candidate);
    expect(all.map((_, index) => got.getUint32(at(index) + 4, true) >>> 31)).toEqual(all.map(({ position }) => (position >= 30 && position < 40 ? 1 : 0)));
    expect(all.map((_, index) => got.getUint32(at(index), true) >>> 31)).toEqual(all.map((_, index) => (index < slots.length ? 1 : 0)));
    for (let index = all.length; index < most; index++) expect(got.getUint32(at(index) + 8, true)).toBe(0);
  }
  bench.dispose();
  for (const buffer of [lifted, candidates, counts, importance, energy, step]) gpu.destroyBuffer(buffer);
});

/** |k - mean|^2 by the groups' lengths; channels of a group that is not stored count as the scale's. */
function kltEnergy(coded: Coded, groups: readonly number[], { lengths }: Folded): number {
  const u = decodeKlt(coded, groups);
  return u.reduce((sum, x, c) => {
    const group = Math.floor((4 * c) / u.length);
    return sum + (lengths[group] ?? Number.NaN) * (groups[group] ? x : coded.scale) ** 2;
  }, 0);
}

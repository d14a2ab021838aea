// turn-filter: which chunks a turn leaves out against f64, over scores given by hand and over what a turn's last tokens pay; that an answer reads none of
// them, and that the next turn's can.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { INFO_BYTES } from "../../src/cache/cache-info";
import { SELECTION_HEADER, turnCapacity } from "../../src/cache/read-plan";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { bindTurnFilter, turnWords } from "../../src/kernels/turn-filter";
import { attend } from "../reference/cache-attention";
import { dot } from "../reference/codec";
import { slotsInPages, slotsInRing } from "../reference/page-table";
import { leftOutBy } from "../reference/reading";
import { seeded } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { type BenchShape, CacheBench } from "./cache-bench";
import { checkBytes } from "./cache-checks";
import { testGpu } from "./gpu";
import { chooseByHand, expectChosen, readQueries, readSelections } from "./read-bench";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

interface Case {
  readonly slots: number; // in pages
  readonly before: number; // of them before the window
  readonly span: number;
  readonly pool: number;
  readonly keep: number;
}

const G = 2;
const SINKS = 4;

describe("over scores given by hand", () => {
  const lengths = [1, 31, 32, 33, 63, 64, 65, 200].map((slots): Case => ({ slots, before: slots, span: 1, pool: 1, keep: Math.ceil(slots / 3) }));
  const odd: Case[] = [
    { slots: 100, before: 77, span: 3, pool: 7, keep: 9 },
    { slots: 100, before: 77, span: 3, pool: 63, keep: 9 }, // most scores alike
    { slots: 40, before: 40, span: 4, pool: 5, keep: 0 },
    { slots: 40, before: 40, span: 4, pool: 5, keep: 99 },
    { slots: 40, before: 0, span: 4, pool: 5, keep: 3 },
    { slots: 10, before: 3, span: 4, pool: 5, keep: 0 }, // no whole chunk before the window
  ];
  test.each([...lengths, ...odd])("$slots slots, $before before the window, chunks of $span, pool $pool, $keep stay", async (of) => {
    const random = seeded(of.slots + of.pool);
    // Few values, so that many are alike.
    const received = Array.from({ length: G }, () => Array.from({ length: SINKS + of.slots }, (_, p) => (p < SINKS ? 9 : Math.floor(random() * 12) / 7)));
    const got = await filter(of, received);
    for (let head = 0; head < G; head++)
      expect(got[head]).toEqual(leftOutBy((received[head] ?? []).slice(SINKS).map(Math.fround), { ...of, slots: of.before }));
  });
});

const policy: PolicySpec = { precision: { kind: "uniform", format: "k16v16" }, read: { kind: "rocket", tokens: 48, turn: { window: 8, pool: 5 } } };

/** A third of a pool's bytes. */
function thirdOf(shape: BenchShape, tokens: number): number {
  const bench = new CacheBench(gpu, shape, policy, { tokens });
  const { totalPages, layout } = bench.cache.plan;
  bench.dispose();
  return Math.ceil(totalPages / 3) * layout.pageBytes;
}

describe.each([
  { D: 64, G: 3, group: 3, segments: 1 },
  { D: 32, G: 2, group: 1, segments: 1 },
  { D: 32, G: 2, group: 1, segments: 3 }, // two after the prompt, the third comes during the answer
])("D $D, $G kv heads of $group, a pool of $segments", ({ segments, ...of }) => {
  test("a prompt's filter, an answer, a second turn, its answer", async () => {
    const shape = { ...of, layers: 1 };
    const bench = new CacheBench(gpu, shape, policy, { tokens: 300, ...(segments > 1 && { segmentBytes: thirdOf(shape, 300) }) });
    const { buffers } = bench.cache;
    const plan = bench.cache.plan.reading;
    if (!plan) throw new Error("Reads everything.");
    bench.cache.beginTurn({ first: 215, end: 215, newTokens: 20 });
    await bench.prompt(215);
    expect(buffers.segments).toBe(Math.max(1, segments - 1));
    const first = await readSelections(gpu, bench.cache);
    const keep = Math.ceil(turnCapacity(48, 215, 20, 8) / plan.span);
    for (let head = 0; head < shape.G; head++) {
      const scores = bench.truth[0]?.[head]?.map(({ importance }) => importance) ?? [];
      expect(first[0]?.[head]?.leftOut).toEqual(leftOutBy(scores.slice(4), { slots: 215 - 8 - 4, span: plan.span, pool: 5, keep }));
      expect(first[0]?.[head]?.leftOut.length).toBeGreaterThan(10);
    }
    for (let i = 0; i < 20; i++) await checkAnswer(bench);
    expect(buffers.segments).toBe(segments);
    // Twelve tokens of a second prompt: read everything; the last eight decide.
    bench.cache.beginTurn({ first: 235, end: 247, newTokens: 10 });
    const paid = Array.from({ length: shape.G }, () => new Float64Array(300));
    for (let position = 235; position < 247; position++) {
      const [result] = await bench.append();
      expectClose(result?.got ?? [], result?.exact ?? [], tolerances.cacheAttention);
      if (position >= 239) await addPaid(bench, paid);
    }
    const second = await readSelections(gpu, bench.cache);
    const ring = bench.cache.plan.ringSlots;
    const stays = Math.ceil(turnCapacity(48, 247, 10, 8 + ring) / plan.span);
    for (let head = 0; head < shape.G; head++) {
      const { leftOut = [], steps } = second[0]?.[head] ?? {};
      const want = leftOutBy(Array.from(paid[head] ?? []).slice(4), { slots: 239 - ring - 4, span: plan.span, pool: 5, keep: stays });
      expect(leftOut.length).toBe(want.length);
      expect(leftOut.filter((chunk) => !want.includes(chunk)).length).toBeLessThanOrEqual(1); // two that are alike to f32
      expect(steps).toBe(20); // tokens that read everything are not counted
      expect(first[0]?.[head]?.leftOut.filter((chunk) => !leftOut.includes(chunk)).length).toBeGreaterThan(0);
    }
    for (let i = 0; i < 10; i++) await checkAnswer(bench);
    checkBytes(bench.cache, Number.POSITIVE_INFINITY);
    bench.dispose();
  });
});

test("a turn of fewer tokens than the window, and what received nothing", async () => {
  const bench = new CacheBench(gpu, { D: 32, G: 2, group: 1, layers: 1 }, policy, { tokens: 300 });
  await bench.prompt(200);
  bench.cache.beginTurn({ first: 200, end: 203, newTokens: 4 });
  const paid = [new Float64Array(300), new Float64Array(300)];
  for (let position = 200; position < 203; position++) {
    await bench.append();
    await addPaid(bench, paid);
  }
  const [[selected] = []] = await readSelections(gpu, bench.cache);
  const { span = 1 } = bench.cache.plan.reading ?? {};
  const ring = bench.cache.plan.ringSlots;
  const keep = Math.ceil(turnCapacity(48, 203, 4, 3 + ring) / span);
  expect(selected?.leftOut).toEqual(leftOutBy(Array.from(paid[0] ?? []).slice(4), { slots: 200 - ring - 4, span, pool: 5, keep }));
  await checkAnswer(bench);
  bench.dispose();
});

/** One more token of an answer: its choice is f64's among what is left, and its output attention over just that. */
async function checkAnswer(bench: CacheBench): Promise<void> {
  const { D, G: heads, group } = bench.shape;
  const [result] = await bench.append();
  const words = await bench.words();
  const [selections = []] = await readSelections(gpu, bench.cache);
  for (let head = 0; head < heads; head++) {
    const slots = slotsInPages(words, 0, head);
    const queries = await readQueries(bench, head);
    const { chunks = [], slots: chosen = [], leftOut = [] } = selections[head] ?? {};
    expect(chunks.filter((chunk) => leftOut.includes(chunk))).toEqual([]);
    expectChosen(chunks, chooseByHand(bench, slots, queries, leftOut));
    const read = [...slotsInRing(words, 0, head, bench.cache.tokens, bench.cache.ringStart(0)), ...slots.filter((_, index) => chosen.includes(index))];
    for (const [h, query] of queries.entries()) {
      const at = (head * group + h) * D;
      expectClose(result?.got.subarray(at, at + D) ?? [], attend(query, read), tolerances.cacheAttention);
    }
  }
}

/** Adds what the last token paid to slots in pages, the mean over a group, by position. */
async function addPaid(bench: CacheBench, paid: readonly Float64Array[]): Promise<void> {
  const words = await bench.words();
  for (const [head, sums] of paid.entries()) {
    const slots = slotsInPages(words, 0, head);
    const all = [...slots, ...slotsInRing(words, 0, head, bench.cache.tokens, bench.cache.ringStart(0))];
    for (const query of await readQueries(bench, head)) {
      const masses = all.map(({ key }) => Math.exp(dot(query, key) / Math.sqrt(bench.shape.D)));
      const total = masses.reduce((a, b) => a + b, 0);
      for (const [index, { position }] of slots.entries()) sums[position] = (sums[position] ?? 0) + (masses[index] ?? 0) / total / bench.shape.group;
    }
  }
}

/** Runs the kernel over lists of every head; returns what each leaves out. */
async function filter({ slots, before, span, pool, keep }: Case, received: readonly (readonly number[])[]): Promise<number[][]> {
  const pairs = Math.ceil(slots / (2 * span)) + 20; // more room than is used, so that bits past the end are written, too
  const left = Math.ceil((2 * pairs) / 32);
  const chosen = 5;
  const stride = SELECTION_HEADER + chosen + left;
  const made: GPUBuffer[] = [];
  const make = (data: Uint32Array | Float32Array, usage?: GPUBufferUsageFlags): GPUBuffer => {
    const buffer = gpu.createBuffer("test", data.byteLength, "scratch", usage ? { usage } : {});
    gpu.write(buffer, 0, data);
    made.push(buffer);
    return buffer;
  };
  const uniform = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const info = new Uint32Array(INFO_BYTES / 4);
  info.set([1], 136); // formats
  info.set([SINKS], 136 + 4);
  info.set([32, G], 136 + 11);
  const selection = make(new Uint32Array(G * stride).fill(0xffffffff));
  const width = SINKS + slots;
  const op = bindTurnFilter(
    gpu,
    { headSize: 32, kvHeads: G, group: 2, unit: 128, segmentPages: 0 },
    {
      info: make(info, uniform),
      reading: make(new Uint32Array([span, chosen, pairs, 1, 1, 0, stride, G * stride, left, 0, 0, 0]), uniform),
      turn: make(turnWords({ stride: width, open: SINKS + before, pool, keep }), uniform),
      table: make(new Uint32Array([0, 0, 0, 0, ...Array<number>(G).fill(slots), ...Array<number>(G).fill(0)])),
      received: make(Float32Array.from(received.flat())),
      scores: make(new Float32Array(2 * G * 2 * pairs)),
      selection,
    },
  );
  await gpu.kernels.ready();
  const recorder = gpu.record();
  op.record(recorder);
  recorder.submit();
  const words = new Uint32Array(await gpu.read(selection));
  for (const buffer of made) gpu.destroyBuffer(buffer);
  return Array.from({ length: G }, (_, head) => {
    const bits = words.subarray(head * stride + SELECTION_HEADER + chosen, (head + 1) * stride);
    return Array.from({ length: 32 * left }, (__, chunk) => chunk).filter((chunk) => ((bits[chunk >> 5] ?? 0) >>> (chunk & 31)) & 1);
  });
}

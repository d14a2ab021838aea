// schedules of judgement on the paged cache: between judgements nothing in pages changes and what comes in gets the richest format; a judgement leaves
// free what its schedule says; pages suffice under every precision and budget, also those shared over layers.

import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { PolicySpec } from "../../src/engine-types";
import type { Gpu } from "../../src/gpu/device";
import { type StoredSlot, slotsInPages } from "../reference/page-table";
import { expectClose, tolerances } from "../tolerances";
import { CacheBench } from "./cache-bench";
import { checkBytes, checkPages, checkTokens, slotFormats } from "./cache-checks";
import { testGpu } from "./gpu";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await testGpu();
});
afterAll(() => gpu.dispose());

const [D, G, LAYERS, PROMPT, DECODED] = [32, 2, 2, 120, 120];
const TURNS = 8; // tokens between two compressions of a layer's ring

const policies: [string, PolicySpec][] = [
  ["rate-distortion", { precision: { kind: "rate-distortion" }, budget: { kind: "table", table: [2, 1] } }],
  ["tiers, heads alone", { precision: { kind: "tiers" }, budget: { kind: "uniform" } }],
  ["evict-only", { precision: { kind: "evict-only" } }],
  ["tiers under one threshold", { precision: { kind: "tiers", formats: ["k2v2", "k8v8"] }, budget: { kind: "global" } }],
];
const schedules: [string, NonNullable<PolicySpec["schedule"]>][] = [
  ["ring", { kind: "ring" }],
  ["every 5: as often as the ring", { kind: "every", tokens: 5 }],
  ["every 30", { kind: "every", tokens: 30 }],
  ["budget", { kind: "budget" }],
  ["prefill", { kind: "prefill" }],
];

describe.each(policies)("%s", (_, policy) => {
  test.each(schedules)("%s", async (_, schedule) => {
    const tokens = PROMPT + DECODED;
    const budgetBytes = Math.floor((policy.precision.kind === "evict-only" ? 0.75 : 0.45) * tokens * LAYERS * G * D * 4);
    const bench = new CacheBench(gpu, { D, G, group: 1, layers: LAYERS }, { ...policy, schedule }, { tokens, promptTokens: PROMPT, budgetBytes });
    const { cache } = bench;
    const record = vi.spyOn(cache, "recordCompression");
    await bench.prompt(PROMPT);
    const pages = (await bench.words()).tables;
    const judged: number[][] = Array.from({ length: LAYERS }, () => []);
    let before = await stored(bench);
    for (let appended = 1; appended <= DECODED; appended++) {
      const calls = record.mock.calls.length;
      const outputs = await bench.append(undefined, appended === DECODED);
      for (const { got, stored } of outputs) expectClose(got, stored, tolerances.cacheAttention);
      const turn = record.mock.calls[calls]?.[1];
      if (!turn) continue;
      const words = await bench.words();
      checkPages(words);
      checkTokens(words, slotFormats(words), PROMPT + appended);
      const now = await stored(bench);
      for (const layer of turn.layers) {
        if (turn.judged) {
          judged[layer]?.push(appended);
          // T_USED within T_BUDGET, which the prompt has left as it is.
          expect(words.tables[layer * cache.plan.tableStride + 1]).toBeLessThanOrEqual(pages[layer * cache.plan.tableStride] ?? 0);
        } else expectAppended(before[layer] ?? [], now[layer] ?? [], { ...turn, richest: bench.policy.formats.length - 1 });
      }
      before = now;
    }
    checkBytes(cache, budgetBytes);
    for (const [layer, times] of judged.entries()) expectTimes(schedule, times, cache.plan.headroom[layer]?.tokens ?? 0);
    bench.dispose();
  });
});

test("with pages for only some of the tokens to come, as where the prompt was said to be longer, the prompt's schedule judges in time", async () => {
  const [tokens, prompt] = [200, 60];
  const spec: PolicySpec = { precision: { kind: "evict-only", format: "k4v4" }, schedule: { kind: "prefill" } };
  const bench = new CacheBench(gpu, { D, G, group: 1, layers: LAYERS }, spec, { tokens, promptTokens: 150, budgetBytes: 0.3 * tokens * LAYERS * G * D * 4 });
  await bench.prompt(prompt);
  const record = vi.spyOn(bench.cache, "recordCompression");
  for (let position = prompt; position < tokens; position++) await bench.append(undefined, false);
  const words = await bench.words();
  checkPages(words);
  expect(record.mock.calls.filter(([, turn]) => turn.judged).length).toBeGreaterThan(0);
  bench.dispose();
});

test.each([
  ["prefill", { kind: "prefill" }, 0.2],
  ["every", { kind: "every", tokens: 190 }, 0.2],
] as const)("%s: a budget that the new tokens use up is refused before anything is allocated", (_, schedule, ratio) => {
  const before = gpu.ledger.count;
  const make = (promptTokens: number): CacheBench =>
    new CacheBench(
      gpu,
      { D, G, group: 1, layers: LAYERS },
      { precision: { kind: "evict-only" }, schedule },
      { tokens: 300, promptTokens, budgetBytes: ratio * 300 * LAYERS * G * D * 4 },
    );
  expect(() => make(100)).toThrowError(expect.objectContaining({ code: "BUDGET_TOO_SMALL", message: expect.stringContaining("choose another schedule") }));
  expect(gpu.ledger.count - before).toBeLessThanOrEqual(3); // the bench's own
  make(290).dispose();
});

/** By layer and head. */
async function stored(bench: CacheBench): Promise<StoredSlot[][][]> {
  const words = await bench.words();
  return Array.from({ length: LAYERS }, (_, layer) => Array.from({ length: G }, (_, head) => slotsInPages(words, layer, head)));
}

function expectAppended(
  before: readonly (readonly StoredSlot[])[],
  now: readonly (readonly StoredSlot[])[],
  { firstPosition, count, richest }: { firstPosition: number; count: number; richest: number },
): void {
  for (const [head, slots] of now.entries()) {
    const old = before[head] ?? [];
    const words = ({ position, format, raw, importance }: StoredSlot) => ({ position, format, raw, importance });
    const sorted = (list: readonly StoredSlot[]) => list.map(words).sort((a, b) => a.position - b.position);
    expect(sorted(slots.filter(({ position }) => position < firstPosition))).toEqual(sorted(old));
    const fresh = slots.filter(({ position }) => position >= firstPosition);
    expect(sorted(fresh).map(({ position }) => position)).toEqual(Array.from({ length: count }, (_, n) => firstPosition + n));
    for (const { format } of fresh) expect(format).toBe(richest);
  }
}

/** Tokens after the prompt at which a layer was judged. */
function expectTimes({ kind, tokens = 0 }: NonNullable<PolicySpec["schedule"]>, times: readonly number[], room: number): void {
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  if (kind === "prefill") expect(times).toEqual([]);
  if (kind === "ring" || kind === "every") expect([...new Set(gaps)]).toEqual([TURNS * Math.max(1, Math.ceil(tokens / TURNS))]);
  if (kind === "every" && tokens > TURNS) {
    // The prompt was judged: its schedule counts from there.
    expect(times[0]).toBeGreaterThan(tokens);
    expect(times[0]).toBeLessThanOrEqual(tokens + TURNS);
  }
  if (kind === "budget") expect([...new Set(gaps)]).toEqual([TURNS * (Math.floor(room / TURNS) + 1)]);
}

// schedules: defaults, what is refused, and how many tokens may stay unjudged; a layer's headroom holds that many, however full its last pages are.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatByName } from "../../../src/cache/formats";
import { headroomOf, pagesAside } from "../../../src/cache/headroom";
import { choosePageLayout } from "../../../src/cache/page-layout";
import { RingSchedule } from "../../../src/cache/ring-schedule";
import type { PolicySpec } from "../../../src/engine-types";
import { resolvePolicy } from "../../../src/policy/policy";
import { resolveSchedule, SCHEDULE_KINDS, unjudgedTokens } from "../../../src/policy/schedules";

const precision = { kind: "rate-distortion" } as const;

test("every ring by default; every 128 tokens where only that is said", () => {
  expect(resolvePolicy({ precision }).schedule.kind).toBe("ring");
  expect(resolveSchedule({ kind: "every" })).toEqual({ kind: "every", tokens: 128 });
  expect(resolveSchedule({ kind: "every", tokens: 7 })).toEqual({ kind: "every", tokens: 7 });
});

test.each<[string, unknown, string]>([
  ["an unknown one", { kind: "often" }, "schedule.kind"],
  ["no kind", {}, "schedule.kind"],
  ["no tokens between", { kind: "every", tokens: 0 }, "schedule.tokens"],
  ["half a token", { kind: "every", tokens: 1.5 }, "schedule.tokens"],
  ["tokens where they mean nothing", { kind: "budget", tokens: 64 }, "schedule.tokens"],
])("refused: %s", (_, schedule, field) => {
  const policy = { precision, schedule } as PolicySpec;
  expect(() => resolvePolicy(policy)).toThrowError(expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }));
});

test("an unknown schedule lists those there are", () => {
  expect(() => resolvePolicy({ precision, schedule: { kind: "often" } } as unknown as PolicySpec)).toThrowError(/ring, every, budget, prefill/);
});

test("tokens that may stay unjudged", () => {
  expect(unjudgedTokens(resolveSchedule(undefined), 8, 1000)).toBe(0);
  expect(unjudgedTokens(resolveSchedule({ kind: "every", tokens: 8 }), 8, 1000)).toBe(0);
  expect(unjudgedTokens(resolveSchedule({ kind: "every", tokens: 9 }), 8, 1000)).toBe(8);
  expect(unjudgedTokens(resolveSchedule({ kind: "every", tokens: 2000 }), 8, 1000)).toBe(1000);
  expect(unjudgedTokens(resolveSchedule({ kind: "prefill" }), 8, 1000)).toBe(1000);
  expect(unjudgedTokens(resolveSchedule({ kind: "budget" }), 8, 1000)).toBeUndefined();
});

describe("headroom", () => {
  const cases = fc.record({
    kind: fc.constantFrom(...SCHEDULE_KINDS),
    tokens: fc.integer({ min: 1, max: 300 }),
    ring: fc.integer({ min: 2, max: 40 }),
    kvHeads: fc.integer({ min: 1, max: 4 }),
    prompt: fc.integer({ min: 1, max: 200 }),
    decoded: fc.integer({ min: 1, max: 400 }),
    spare: fc.integer({ min: 0, max: 60 }),
    full: fc.double({ min: 0, max: 1, noNaN: true }),
  });

  test("what was judged and what is appended until the next judgement never need more pages than a layer has", () => {
    fc.assert(
      fc.property(cases, ({ kind, tokens, ring, kvHeads, prompt, decoded, spare, full }) => {
        const policy = resolvePolicy({
          precision: { kind: "tiers", formats: ["k2v2", "k4v4"] },
          ring,
          schedule: kind === "every" ? { kind, tokens } : { kind },
        });
        const shape = { layers: 1, kvHeads, headSize: 64 };
        const layout = choosePageLayout(
          ["k2v2", "k4v4"].map((name) => formatByName(name as "k2v2")),
          64,
          4000,
        );
        const slots = layout.slotsPerPage[1] ?? 1;
        const extent = { tokens: prompt + decoded, promptTokens: prompt };
        const pages = pagesAside(policy, layout, shape, extent) + kvHeads + spare;
        const { pages: free, tokens: most } = headroomOf(policy, layout, shape, extent, pages);
        expect(pages - free).toBeGreaterThanOrEqual(kvHeads);
        if (kind === "ring") expect(free).toBe(0);
        if (kind === "budget") expect(free).toBeLessThanOrEqual(pages / 8);
        const schedule = new RingSchedule(1, policy.sinks, ring, [most]);
        schedule.begin(Math.max(0, prompt - policy.sinks - Math.floor(ring / 2)));
        // The worst after a judgement: all it left is taken, and the richest lists' last pages are as full as `full` says.
        const start = Math.floor(full * slots) * (pages - free >= 2 * kvHeads ? 1 : 0);
        let list = start;
        for (let position = prompt; position < prompt + decoded; position++) {
          const turn = schedule.take(position);
          if (!turn) continue;
          list = turn.judged ? start : list + turn.count;
          if (kind === "prefill") expect(turn.judged).toBe(false);
          const grown = kvHeads * (Math.ceil(list / slots) - Math.ceil(start / slots));
          expect(pages - free + grown).toBeLessThanOrEqual(pages);
        }
      }),
      { numRuns: 500 },
    );
  });
});

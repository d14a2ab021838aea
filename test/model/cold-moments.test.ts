// cold-moments: whatever is done to a cache with a cold tier, in whatever order, every slot is in one place after each step, before anything has settled.
// Leaves to others: single ways of going wrong, long runs (cold.test.ts).

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { coldBlockBytes } from "../../src/cold/store";
import type { Gpu } from "../../src/gpu/device";
import type { Transformer } from "../../src/model/transformer";
import { testGpu } from "../kernels/gpu";
import { checkAll, checkCounts, forkRun, loadTiny, POLICY, type Run, readPlaces, startRun } from "./cold-run";

const TOKENS = 400;

let gpu: Gpu;
let transformer: Transformer;
beforeAll(async () => {
  gpu = await testGpu();
  transformer = await loadTiny(gpu, TOKENS);
});
afterAll(() => gpu?.dispose());

interface Moment {
  run: Run;
  /** Tokens that the cache held at most: what has left the ring cannot be taken back. */
  most: number;
  isLimited: boolean;
}

interface Act {
  on(moment: Moment): unknown;
  /** What a failure says of it. */
  [fc.toStringMethod](): string;
}

const act = (name: string, on: Act["on"]): Act => ({ on, [fc.toStringMethod]: () => name });

const acts: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 14 }).map((count) => act(`feed ${count}`, feed(count))) },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 8 }).map((count) => act(`take ${count} back`, takeBack(count))) },
  { weight: 1, arbitrary: fc.constant(act("fork", fork)) },
  { weight: 1, arbitrary: fc.integer({ min: 2, max: 20 }).map((blocks) => act(`limit ${blocks}`, limit(blocks))) },
  { weight: 1, arbitrary: fc.constant(act("settle", ({ run }) => run.cold.settle())) },
);

function feed(count: number): Act["on"] {
  return async (moment) => {
    await moment.run.feed(count);
    moment.most = Math.max(moment.most, moment.run.sequence.cache.tokens);
  };
}

function takeBack(count: number): Act["on"] {
  return ({ run: { sequence }, most }) => {
    const { cache } = sequence;
    cache.rewind(Math.max(cache.tokens - count, most - cache.mostUnsure));
  };
}

async function fork(moment: Moment): Promise<void> {
  moment.run = await forkRun(moment.run);
}

function limit(blocks: number): Act["on"] {
  return (moment) => {
    moment.run.cold.limit(blocks * coldBlockBytes(transformer.config));
    moment.isLimited = true;
  };
}

test("feed, take back, fork, limit and settle in any order", { timeout: 120_000 }, async () => {
  const policy = fc.constantFrom(POLICY, "rate-distortion" as const);
  const steps = fc.array(acts, { minLength: 4, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(policy, steps, async (chosen, all) => {
      const run = await startRun(transformer, { maxBytes: 1e7 }, { tokens: TOKENS, prompt: 180, policy: chosen });
      const moment: Moment = { run, most: 180, isLimited: false };
      try {
        await run.feed(12); // something is back already
        moment.most += 12;
        for (const { on } of all) {
          await on(moment);
          const { gone } = await checkCounts(moment.run, await readPlaces(moment.run));
          if (!moment.isLimited) expect(gone).toBe(0);
        }
        await checkAll(moment.run);
      } finally {
        moment.run.end();
      }
    }),
    { numRuns: 4 },
  );
});

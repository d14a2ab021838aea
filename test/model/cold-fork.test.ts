// cold-fork: a session whose cold tier has brought something back is forked, and gone back to: the same is back then, and a fork that is given the same says
// the same. Leaves to others: what comes back, and that it is what was kept (cold.test.ts).

import { afterAll, beforeAll, expect, test } from "vitest";
import type { ToolEngine } from "../../src/engine";
import type { PolicySpec, Session } from "../../src/engine-types";
import { seeded } from "../reference/scoring-case";
import { loadTiny, sendAll } from "./tiny-engine";

let engine: ToolEngine;
beforeAll(async () => {
  engine = await loadTiny();
});
afterAll(() => engine?.dispose());

const EVICTING: PolicySpec = { score: { kind: "expected-attention" }, budget: { kind: "ada" }, precision: { kind: "evict-only" } };

/** Random ids make sharp attention to tokens of the same id: what is asked for comes back. */
function ids(count: number, seed: number): number[] {
  const random = seeded(seed);
  return Array.from({ length: count }, () => 300 + Math.floor(random() * 200));
}

async function recalledBy(session: Session): Promise<number> {
  return (await session.usage()).cold?.recalled ?? 0;
}

test.for([
  { policy: EVICTING, ratio: 0.2 },
  { policy: "lacuna" as const, ratio: 0.15 },
])("a fork has the guests of its source and says what it says; a restored session has those of that moment: $policy", async ({ policy, ratio }) => {
  const session = await engine.open({ policy, budget: { ratio }, tokens: 600, cold: { maxBytes: 1e7 } });
  await sendAll(session, { prompt: { ids: ids(250, 1) }, maxTokens: 10 });
  await sendAll(session, { prompt: { ids: ids(40, 2) }, maxTokens: 20 });
  const recalled = await recalledBy(session);
  expect(recalled).toBeGreaterThan(0);
  const mark = await session.snapshot();
  const fork = await session.fork();
  expect(await recalledBy(fork)).toBe(recalled);
  for (const seed of [3, 4]) {
    const request = { prompt: { ids: ids(30, seed) }, maxTokens: 20 };
    const [said, alike] = [await sendAll(session, request), await sendAll(fork, request)];
    expect(alike.output.ids).toEqual(said.output.ids);
    expect(await recalledBy(fork)).toBe(await recalledBy(session));
  }
  await session.restore(mark);
  expect(await recalledBy(session)).toBe(recalled);
  await fork.dispose();
  await session.dispose();
});

// cold-usage: asking a session with a cold tier where its slots are only reads: the same is said whoever asks meanwhile, and a session that is disposed while
// it is asked, forked or kept hurts no other. Leaves to others: that the counts are right (cold.test.ts).

import { afterAll, beforeAll, expect, test } from "vitest";
import type { ToolEngine } from "../../src/engine";
import type { Session } from "../../src/engine-types";
import { seeded } from "../reference/scoring-case";
import { startRun } from "./cold-run";
import { failureOf, loadTiny, openTransformer, sendAll } from "./tiny-engine";

let engine: ToolEngine;
beforeAll(async () => {
  engine = await loadTiny();
});
afterAll(() => engine?.dispose());

function ids(count: number, seed: number): number[] {
  const random = seeded(seed);
  return Array.from({ length: count }, () => 300 + Math.floor(random() * 200));
}

async function open(): Promise<Session> {
  return engine.open({ policy: "lacuna", budget: { ratio: 0.15 }, tokens: 400, cold: { maxBytes: 1e7 } });
}

test.for(["usage", "fork", "snapshot"] as const)("%s() of a session that is disposed meanwhile: told so, and another goes on", async (what) => {
  const [session, other] = [await open(), await open()];
  await sendAll(session, { prompt: { ids: ids(120, 2) }, maxTokens: 5 });
  const told: number[] = [];
  for await (const event of other.send({ prompt: { ids: ids(40, 3) }, maxTokens: 12 })) {
    if (event.kind !== "tokens") continue;
    told.push(...event.ids);
    if (told.length !== 3) continue;
    const failure = failureOf(session[what]());
    await session.dispose();
    expect((await failure).code).toBe("DISPOSED");
  }
  expect(told).toHaveLength(12);
  await other.dispose();
});

test("asked for at every token, it changes neither what is said nor what is back when", async () => {
  const { transformer, gpu } = await openTransformer(400);
  const said = [];
  for (const asks of [false, true]) {
    const run = await startRun(transformer, { maxBytes: 1e7 }, { policy: "rate-distortion", tokens: 400 });
    const { decoder, cold } = run;
    const tokens = [];
    for (const id of ids(40, 6)) {
      decoder.force(id, true);
      const asked = asks ? cold.counts() : undefined;
      tokens.push([(await decoder.take()).id, cold.recalled().join()]);
      await Promise.all([asked, cold.arrived()]);
    }
    said.push(tokens);
    run.end();
  }
  expect(new Set(said[0]?.map(([, recalled]) => recalled)).size).toBeGreaterThan(3);
  expect(said[1]).toEqual(said[0]);
  gpu.dispose();
});

// collected: Node's WebGPU outlives garbage collections: an instance that is collected while its device lives takes the process with it.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { goldenTexts, idsOf, loadTiny } from "./tiny-engine";

const { short } = goldenTexts();

test("an engine answers after everything collectable was collected", async () => {
  setFlagsFromString("--expose_gc");
  const collect = runInNewContext("gc") as () => void;
  const engine = await loadTiny({ context: 128 });
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setImmediate(resolve)); // nothing may be held by a frame that is still on the stack
    collect();
    expect(await idsOf(engine, { prompt: { ids: short.ids }, maxTokens: 8 })).toEqual(short.greedyIds.slice(0, 8));
  }
  await engine.dispose();
});

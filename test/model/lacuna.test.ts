// lacuna: the presets of the house on the calibrated tiny model: formats in the measured basis, the replay of a prompt, and what is refused.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { ToolEngine } from "../../src/engine";
import { isEngineError } from "../../src/errors";
import { loadInNode } from "../../src/node/load-in-node";
import { eventsOf, generateAll, goldenTexts, scoreAll } from "./tiny-engine";

let engine: ToolEngine;
beforeAll(async () => {
  engine = await loadInNode({ model: "tiny" });
});
afterAll(() => engine.dispose());

const ids = goldenTexts().long.ids;
const request = { prompt: { ids }, from: 480 } as const;

test("a calibrated model's cache holds slots in the calibrated basis, within the budget, and drifts less than eviction at the same bytes", async () => {
  const lacuna = await scoreAll(engine, { ...request, policy: "lacuna", budget: { ratio: 0.125 } });
  const evicting = await scoreAll(engine, { ...request, policy: "expected-attention", budget: { ratio: 0.125 } });
  const calibrated = Object.entries(lacuna.kv.bytesByFormat).filter(([name, bytes]) => /^(k3v2|k2v2-klt|k1\.5v2)$/.test(name) && (bytes ?? 0) > 0);
  expect(calibrated.length).toBeGreaterThan(0);
  expect(lacuna.kv.bytes).toBeLessThanOrEqual((0.125 * lacuna.kv.fullBytes * ids.length) / (ids.length - 1));
  expect(lacuna.meanKl).toBeGreaterThan(0);
  expect(lacuna.meanKl).toBeLessThan(evicting.meanKl);
});

test("a budget without a policy means lacuna", async () => {
  const named = await scoreAll(engine, { ...request, policy: "lacuna", budget: { ratio: 0.25 } });
  const unnamed = await scoreAll(engine, { ...request, budget: { ratio: 0.25 } });
  expect(unnamed.kv).toEqual(named.kv);
  expect(unnamed.meanKl).toBe(named.meanKl);
});

test("a replay changes who is kept and nothing of what the prompt itself says", async () => {
  const once = await generateAll(engine, { prompt: { ids }, policy: "lacuna", budget: { ratio: 0.1 }, maxTokens: 8, cacheMap: true });
  const twice = await generateAll(engine, { prompt: { ids }, policy: "lacuna-thorough", budget: { ratio: 0.1 }, maxTokens: 8, cacheMap: true });
  expect(twice.output.ids[0]).toBe(once.output.ids[0]); // read from the unquantized prompt
  expect(twice.kv.bytes).toBe(once.kv.bytes);
  expect(twice.cacheMap?.layers).not.toEqual(once.cacheMap?.layers);
  expect(Math.max(...(twice.cacheMap?.layers ?? []).flatMap(({ heads }) => heads.flatMap(({ positions }) => [...positions])))).toBeLessThan(ids.length + 8);
});

test("markers go with any policy that drops: within the budget, and the map says what they stand for", async () => {
  const spec = { score: { kind: "snapkv" }, precision: { kind: "evict-only" } } as const;
  for (const kind of ["mean", "plain"] as const) {
    const policy = { ...spec, markers: { count: 4, kind } };
    const { kv, cacheMap } = await generateAll(engine, { prompt: { ids }, policy, budget: { ratio: 0.25 }, maxTokens: 24, cacheMap: true });
    expect(kv.bytes).toBeLessThanOrEqual(0.25 * kv.fullBytes);
    const heads = (cacheMap?.layers ?? []).flatMap((layer) => layer.heads);
    expect(heads.reduce((sum, { markers = [] }) => sum + markers.reduce((all, { count }) => all + count, 0), 0)).toBe(kv.slotsEvicted);
    expect(kv.slotsEvicted).toBeGreaterThan(0);
    expect(Math.max(...heads.map(({ markers = [] }) => markers.length))).toBe(4);
  }
  const refused = generateAll(engine, { prompt: { ids }, policy: { precision: { kind: "uniform" }, markers: { count: 4 } }, maxTokens: 1 });
  await expect(refused).rejects.toMatchObject({ code: "BAD_OPTION", details: expect.objectContaining({ field: "markers" }) });
});

test("several policies share a pass in which one of them wants the replay", async () => {
  const caches = (["lacuna", "lacuna-thorough", "kvzip"] as const).map((policy) => ({ policy, budget: { ratio: 0.25 } }));
  const together = await engine.scoreMany({ ...request, caches });
  const alone = await scoreAll(engine, { ...request, ...caches[0] });
  const mean = (tokens: readonly { readonly kl: number }[]): number => tokens.reduce((sum, { kl }) => sum + kl, 0) / tokens.length;
  expect(mean(together.caches[0]?.tokens ?? [])).toBe(alone.meanKl); // the replay of the others does not touch it
  for (const { tokens } of together.caches) expect(Number.isFinite(mean(tokens))).toBe(true);
});

test("a prompt after which no replay fits is refused, with what would do", async () => {
  const long = Array.from({ length: 2020 }, (_, n) => ids[n % ids.length] ?? 0);
  const error = await eventsOf(engine.generate({ prompt: { ids: long }, policy: "lacuna-thorough", budget: { ratio: 0.5 }, maxTokens: 4 })).catch(
    (thrown: unknown) => thrown,
  );
  expect(isEngineError(error) && error.code).toBe("CONTEXT_FULL");
  expect(String(error)).toContain("replays the prompt");
  expect((await engine.memory()).kv).toBe(0);
});

test("formats of a calibrated basis are refused where there is no calibration", async () => {
  const plain = await loadInNode({ model: "tiny", calibration: false });
  try {
    const policy = { precision: { kind: "rate-distortion", formats: ["k2v2-klt"] } } as const;
    await expect(scoreAll(plain, { ...request, policy, budget: { ratio: 0.25 } })).rejects.toMatchObject({ code: "BAD_OPTION" });
    await expect(
      scoreAll(plain, { ...request, policy: { ...policy, precision: { kind: "rate-distortion" } }, budget: { ratio: 0.25 } }),
    ).resolves.toBeDefined();
  } finally {
    await plain.dispose();
  }
});

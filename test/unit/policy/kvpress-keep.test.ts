// kvpress-keep: what the golden file of kept slots must satisfy without a model: counts, budgets, and the methods that look at positions only.

import { describe, expect, test } from "vitest";
import golden from "../../golden/kvpress-keep.json";
import { keepAsMany, overlap, type RawKeep, readKvpressKeep } from "../../model/kvpress-keep";
import { keepCount, pyramidKvpress } from "../../reference/budgets";
import { keepSet } from "../../reference/expected-attention";
import { streamingLlm } from "../../reference/scorers/positions";

const keep = readKvpressKeep(golden as RawKeep);
const cases = keep.texts.flatMap((text, t) => keep.removed.map((removed, r) => ({ t, r, removed, tokens: text.ids.length, name: text.name })));

describe.each(keep.methods)("$name", (method) => {
  test.each(cases)("of $name without $removed", ({ t, r, removed, tokens }) => {
    const heads = Array.from({ length: keep.layers * keep.heads }, (_, n) => method.kept(t, r, Math.floor(n / keep.heads), n % keep.heads));
    const count = keepCount(tokens, removed);
    const layer = (l: number): number => heads.slice(l * keep.heads, (l + 1) * keep.heads).reduce((sum, kept) => sum + kept.length, 0);
    if (method.options.budget === "uniform") for (const kept of heads) expect(kept).toHaveLength(count);
    if (method.options.budget === "ada") {
      for (let l = 0; l < keep.layers; l++) expect(layer(l)).toBe(keep.heads * count);
      for (const kept of heads) expect(kept.length).toBeGreaterThanOrEqual(Math.trunc(count * 0.2));
    }
    if (method.options.budget === "pyramid") {
      const budgets = pyramidKvpress({ layers: keep.layers, tokens, window: method.options.window!, removed, beta: method.options.beta! });
      expect(Array.from({ length: keep.layers }, (_, l) => layer(l))).toEqual(budgets.map((slots) => keep.heads * slots));
      expect(new Set(budgets).size).toBeGreaterThan(1); // not the fallback
    }
    if (method.options.sinks !== undefined) for (const kept of heads) expect(kept.slice(0, method.options.sinks)).toEqual([0, 1, 2, 3]);
    if (method.options.window !== undefined) for (const kept of heads) expect(kept.slice(-method.options.window)[0]).toBe(tokens - method.options.window);
    if (method.options.score === "streaming-llm") {
      const dims = { T: tokens, G: 1, sinks: 4 };
      for (const kept of heads) expect(kept).toEqual(keepSet(streamingLlm(dims), 0, count, dims));
    }
  });
});

test("methods differ from one another, and texts, layers and heads differ within a method", () => {
  const all = keep.methods.map((method) => JSON.stringify(method.kept(0, 1, 12, 1)));
  expect(new Set(all).size).toBe(all.length);
  const snap = keep.methods.find((method) => method.name === "snapkv")!;
  expect(snap.kept(0, 1, 3, 0)).not.toEqual(snap.kept(0, 1, 3, 1));
  expect(snap.kept(0, 1, 3, 0)).not.toEqual(snap.kept(0, 1, 4, 0));
  expect(snap.kept(0, 1, 3, 0)).not.toEqual(snap.kept(1, 1, 3, 0));
});

test("as many slots of an importance: kvpress's own choice as importance gives overlap 1, another's clearly less", () => {
  const plane = (name: string, layer: number): number[] => {
    const method = keep.methods.find((other) => other.name === name)!;
    return Array.from({ length: keep.heads }, (_, g) => {
      const kept = new Set(method.kept(1, 1, layer, g));
      return keep.texts[1]!.ids.map((_, t) => (kept.has(t) ? 1 : 0));
    }).flat();
  };
  for (const { name, options, kept } of keep.methods) {
    const pairs = (of: string) =>
      Array.from({ length: keep.layers }, (_, l) =>
        keepAsMany(
          plane(of, l),
          Array.from({ length: keep.heads }, (_, g) => kept(1, 1, l, g)),
          options.budget,
          4,
        ),
      ).flat();
    expect(overlap(pairs(name)), name).toBe(1);
    const other = name === "lagkv" ? "knorm" : "lagkv";
    expect(overlap(pairs(other)), `${other} for ${name}`).toBeLessThan(0.9);
  }
});

test("overlap counts what both kept over the larger of the two", () => {
  expect(overlap([{ got: [1, 2, 3], want: [2, 3, 4] }])).toBeCloseTo(2 / 3, 12);
  expect(
    overlap([
      { got: [1], want: [1, 2] },
      { got: [5, 6], want: [5, 6] },
    ]),
  ).toBeCloseTo(3 / 4, 12);
  expect(overlap([{ got: [1, 2, 3, 4], want: [1, 2] }])).toBe(0.5);
});

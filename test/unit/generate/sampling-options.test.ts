import { describe, expect, test } from "vitest";
import { resolveMaxTokens, resolveSampling } from "../../../src/generate/sampling-options";

describe("resolveSampling", () => {
  test("sets what is missing", () => {
    expect(resolveSampling({}, () => 7)).toEqual({ temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 7 });
    expect(resolveSampling({ temperature: undefined, topK: undefined } as object, () => 7)).toMatchObject({ temperature: 0, topK: 0 });
  });

  test("keeps what is given, bounds included", () => {
    const low = { temperature: 0.001, topK: 0, topP: 0, minP: 0, repetitionPenalty: 0.01, seed: 0 };
    const high = { temperature: 100, topK: 50_000, topP: 1, minP: 1, repetitionPenalty: 100, seed: 4_294_967_295 };
    expect(resolveSampling(low)).toEqual(low);
    expect(resolveSampling(high)).toEqual(high);
  });

  test("draws another 32-bit seed each time", () => {
    const seeds = Array.from({ length: 8 }, () => resolveSampling({}).seed);
    for (const seed of seeds) expect(seed).toBe(seed >>> 0);
    expect(new Set(seeds).size).toBeGreaterThan(1);
  });

  test.each([
    ["temperature", -0.1],
    ["temperature", 1e-4],
    ["temperature", 101],
    ["temperature", Number.NaN],
    ["temperature", "0.7"],
    ["temperature", null],
    ["topK", -1],
    ["topK", 1.5],
    ["topP", 1.01],
    ["topP", -0.01],
    ["minP", 2],
    ["repetitionPenalty", 0],
    ["repetitionPenalty", Number.POSITIVE_INFINITY],
    ["seed", -1],
    ["seed", 2 ** 32],
    ["seed", 0.5],
  ])("refuses %s = %s by name", (field, value) => {
    expect(() => resolveSampling({ [field]: value })).toThrow(
      expect.objectContaining({ code: "BAD_OPTION", message: expect.stringContaining(field), details: expect.objectContaining({ field, found: value }) }),
    );
  });
});

test("resolveMaxTokens", () => {
  expect(resolveMaxTokens(undefined)).toBe(256);
  expect(resolveMaxTokens(1)).toBe(1);
  for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => resolveMaxTokens(value)).toThrow(expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field: "maxTokens" }) }));
  }
});

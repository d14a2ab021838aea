// policy: presets and specs become policies with every field set; whatever is not allowed is refused by name.

import { describe, expect, test } from "vitest";
import { isFloor } from "../../../src/cache/formats";
import type { FormatName, PolicySpec, PresetName } from "../../../src/engine-types";
import type { Calibration } from "../../../src/policy/calibration";
import { layerShares } from "../../../src/policy/layer-shares";
import { budgetBytes, needsBudget, resolvePolicy } from "../../../src/policy/policy";
import { isBudgeted, PRESET_NAMES } from "../../../src/policy/presets";
import { randomCalibration } from "../../reference/random-bases";

describe("presets", () => {
  const names = (policy: PresetName): string[] => resolvePolicy(policy).formats.map(({ name }) => name);

  test("offer their formats by rising bytes", () => {
    expect(names("full")).toEqual(["k16v16"]);
    expect(names("uniform-8")).toEqual(["k8v8"]);
    expect(names("uniform-4")).toEqual(["k4v4"]);
    expect(names("expected-attention")).toEqual(["k16v16"]);
    expect(names("rate-distortion")).toEqual(["k2v2", "k4v2", "k4v4", "k8v8"]);
  });

  test("need a budget exactly where they drop or choose", () => {
    const needing = PRESET_NAMES.filter((name) => needsBudget(resolvePolicy(name)));
    expect(needing).toEqual(PRESET_NAMES.filter(isBudgeted));
    expect(needing).toContain("expected-attention");
    expect(needing).not.toContain("uniform-4");
  });

  test("expected-attention is kvpress's: value norm, safeguard of AdaKV, sinks kept", () => {
    expect(resolvePolicy("expected-attention")).toMatchObject({
      mode: "tiers",
      budget: { kind: "ada", safeguard: 0.2, perHead: false },
      sinks: 4,
      score: { kind: "expected-attention", valueNorm: true, epsilon: 0.01 },
    });
  });

  test("rate-distortion is methods 10.3's rule: layer shares, no safeguard, the value's energy in the cost alone", () => {
    expect(resolvePolicy("rate-distortion")).toMatchObject({
      mode: "rate-distortion",
      budget: { kind: "shares", safeguard: 0, perHead: false },
      kappa: 0.3,
      power: 1.2,
      score: { kind: "ensemble", valueNorm: false },
    });
  });
});

test("formats are sorted and listed once, whatever the order given", () => {
  const { formats, thresholds } = resolvePolicy({ precision: { kind: "tiers", formats: ["k8v8", "k2v2", "k8v8", "k4v4"], thresholds: [1, 2, 8] } });
  expect(formats.map(({ name }) => name)).toEqual(["k2v2", "k4v4", "k8v8"]);
  expect(thresholds).toEqual([1, 2, 8]);
});

describe("a model's key floor", () => {
  const names = (precision: PolicySpec["precision"], keyFloor?: FormatName): string[] =>
    resolvePolicy({ precision }, { ...(keyFloor && { keyFloor }) } as Calibration).formats.map(({ name }) => name);
  const [ratio, agacc, tiers, uniform] = [{ kind: "rate-distortion" }, { kind: "agacc", bits: [2, 16] }, { kind: "tiers" }, { kind: "uniform" }] as const;

  test("leaves every default list as it is where there is none", () => {
    expect(names(ratio)).toEqual(["k1.5v2", "k2v2-klt", "k3v2", "k4v4", "k8v4", "k8v8"]);
    expect(names(agacc)).toEqual(["k2v2", "k4v4", "k8v8", "k16v16"]);
    expect(names(tiers)).toEqual(["k2v2", "k4v4"]);
    expect(names(uniform)).toEqual(["k4v4"]);
  });

  test("takes formats with fewer bits of keys from every default list; where none is left, itself", () => {
    expect(names(ratio, "k8v4")).toEqual(["k8v4", "k8v8"]);
    expect(names(agacc, "k8v4")).toEqual(["k8v8", "k16v16"]);
    expect(names(tiers, "k8v4")).toEqual(["k8v4"]);
    expect(names(uniform, "k8v4")).toEqual(["k8v4"]);
    expect(names({ kind: "evict-only" }, "k8v4")).toEqual(["k16v16"]);
    for (const precision of [ratio, agacc, tiers, uniform]) expect(names(precision, "k16v16")).toEqual(["k16v16"]);
  });

  test("goes by the keys' bits alone, whatever the values have", () => {
    expect(names(ratio, "k8v8")).toEqual(["k8v4", "k8v8"]);
  });

  test("leaves formats that were told as told", () => {
    expect(names({ kind: "uniform", format: "k4v2" }, "k8v4")).toEqual(["k4v2"]);
    expect(names({ ...tiers, formats: ["k2v2", "k8v8"] }, "k8v4")).toEqual(["k2v2", "k8v8"]);
    expect(resolvePolicy("uniform-4", { keyFloor: "k8v4" } as Calibration).formats.map(({ name }) => name)).toEqual(["k4v4"]);
  });

  test("of 16 bits keeps the ring in 16, unless told", () => {
    const bits = (keyFloor: FormatName, spec: Partial<PolicySpec> = {}): number =>
      resolvePolicy({ precision: ratio, ...spec }, { keyFloor } as Calibration).ringBits;
    expect([bits("k8v4"), bits("k16v16"), bits("k16v16", { ringBits: 8 })]).toEqual([8, 16, 8]);
  });
});

test("markers are means unless told, and there are none by default", () => {
  expect(resolvePolicy({ precision: { kind: "evict-only" }, markers: { count: 8 } }).markers).toEqual({ count: 8, kind: "mean" });
  expect(resolvePolicy({ precision: { kind: "evict-only" }, markers: { count: 256, kind: "plain" } }).markers).toEqual({ count: 256, kind: "plain" });
  for (const name of PRESET_NAMES)
    expect(resolvePolicy(name)).toMatchObject({ markers: name === "agacc" ? { count: 4, kind: "plain" } : { count: 0 }, guests: 0 });
});

const precision = { kind: "rate-distortion" } as const;
const refused: [string, unknown, string][] = [
  ["an unknown preset", "fast", "policy"],
  ["no marker", { precision, markers: { count: 0 } }, "markers.count"],
  ["too many markers", { precision, markers: { count: 257 } }, "markers.count"],
  ["half a marker", { precision, markers: { count: 1.5 } }, "markers.count"],
  ["markers by a number", { precision, markers: 8 }, "markers"],
  ["an unknown kind of marker", { precision, markers: { count: 8, kind: "median" } }, "markers.kind"],
  ["markers where nothing is dropped", { precision: { kind: "uniform" }, markers: { count: 8 } }, "markers"],
  ["guests below none", { precision, guests: -1 }, "guests"],
  ["guests in bits that rows are not coded in", { precision, guests: 8, guestBits: 2 }, "guestBits"],
  ["an unknown kind", { precision: { kind: "best" } }, "precision.kind"],
  ["an unknown format", { precision: { kind: "uniform", format: "k3v3" } }, "precision.formats"],
  ["no format", { precision: { kind: "tiers", formats: [] } }, "precision.formats"],
  ["two formats for one", { precision: { kind: "uniform", formats: ["k8v8", "k4v4"] } }, "precision.formats"],
  ["thresholds that fall", { precision: { kind: "tiers", formats: ["k2v2", "k4v4"], thresholds: [2, 1] } }, "precision.thresholds"],
  ["a threshold too few", { precision: { kind: "tiers", formats: ["k2v2", "k4v4"], thresholds: [2] } }, "precision.thresholds"],
  ["an unknown score", { precision, score: { kind: "guess" } }, "score.kind"],
  ["no score for what needs one", { precision, score: { kind: "none" } }, "score.kind"],
  ["a score's future of zero", { precision, score: { kind: "ensemble", futurePositions: 0 } }, "score.futurePositions"],
  ["a setting that no score has", { precision, score: { kind: "ensemble", widow: 3 } }, "score"],
  ["an even pool", { precision, score: { kind: "ensemble", pool: 4 } }, "score.pool"],
  ["a decay of zero", { precision, score: { kind: "ensemble", decay: 0 } }, "score.decay"],
  ["an unknown budget", { precision, budget: { kind: "fair" } }, "budget.kind"],
  ["a negative weight of the variance", { precision, score: { kind: "cake", gamma: -1 } }, "score.gamma"],
  ["one temperature", { precision: { kind: "evict-only" }, budget: { kind: "cake", temperatures: [1] as never } }, "budget.temperatures"],
  ["a temperature of 0", { precision: { kind: "evict-only" }, budget: { kind: "cake", temperatures: [1, 0] } }, "budget.temperatures"],
  ["half a query", { precision: { kind: "evict-only" }, budget: { kind: "cake", window: 0.5 } }, "budget.window"],
  ["a partition of one token", { precision, score: { kind: "lagkv", lag: 1 } }, "score.lag"],
  ["a safeguard above 1", { precision, budget: { kind: "ada", safeguard: 1.5 } }, "budget.safeguard"],
  ["a ring of one", { precision, ring: 1 }, "ring"],
  ["half a sink", { precision, sinks: 0.5 }, "sinks"],
  ["an empty pinned span", { precision, pinned: [[5, 5]] }, "pinned"],
  ["too many pinned spans", { precision, pinned: [0, 1, 2, 3, 4].map((at) => [at, at + 1]) }, "pinned"],
];

test.each(refused)("%s is refused", (_, policy, field) => {
  expect(() => resolvePolicy(policy as PolicySpec)).toThrowError(expect.objectContaining({ code: "BAD_OPTION", details: expect.objectContaining({ field }) }));
});

describe("pinned spans are a promise of 8 bits", () => {
  const pinned = [[0, 40]] as const;

  test.each<[string, PolicySpec["precision"], RegExp]>([
    ["uniform in 4 bits", { kind: "uniform", format: "k4v4" }, /k16v16, k8v8 with pinned spans/],
    ["uniform in the format of no choice", { kind: "uniform" }, /k16v16, k8v8 with pinned spans/],
    ["values below", { kind: "uniform", format: "k8v4" }, /k16v16, k8v8 with pinned spans/],
    ["pruned channels", { kind: "evict-only", format: "k8v8-half" }, /k16v16 or k8v8 among them with pinned spans/],
    ["the formats of tiers", { kind: "tiers" }, /k16v16 or k8v8 among them/],
    ["a rule that would choose", { kind: "rate-distortion", formats: ["k2v2", "k4v2"] }, /k16v16 or k8v8 among them/],
    ["a line that ends below", { kind: "agacc", bits: [2, 4] }, /k16v16 or k8v8 among them, and precision.bits up to them, with pinned/],
  ])("%s: refused, with the formats that would do", (_, precision, expected) => {
    expect(() => resolvePolicy({ precision, pinned })).toThrowError(
      expect.objectContaining({
        code: "BAD_OPTION",
        details: expect.objectContaining({ field: "precision.formats", expected: expect.stringMatching(expected) }),
      }),
    );
    expect(resolvePolicy({ precision, pinned: [] }).pinned).toEqual([]);
  });

  test.each<PolicySpec["precision"]>([
    { kind: "uniform", format: "k8v8" },
    { kind: "uniform", format: "k16v16" },
    { kind: "evict-only" },
    { kind: "tiers", formats: ["k2v2", "k8v8"] },
    { kind: "agacc" },
    { kind: "agacc", bits: [4, 16], formats: ["k4v4", "k16v16"] },
    { kind: "rate-distortion" },
  ])("kept by %j", (precision) => {
    const { pinned: kept, formats } = resolvePolicy({ precision, pinned });
    expect(kept).toEqual(pinned);
    expect(formats.some(isFloor)).toBe(true);
  });

  test("kept by every calibrated model's own choice of formats, whatever floor its keys have", () => {
    for (const keyFloor of [undefined, "k8v8", "k16v16"] as const) {
      const calibration = { ...randomCalibration({ L: 1, H: 1, G: 1, D: 32 }), ...(keyFloor && { keyFloor }) };
      expect(resolvePolicy({ precision: { kind: "rate-distortion" }, pinned }, calibration).formats.some(isFloor)).toBe(true);
    }
  });
});

describe("a budget", () => {
  test("in bytes or as a ratio of the full cache", () => {
    expect(budgetBytes({ ratio: 0.25 }, 1001)).toBe(250);
    expect(budgetBytes({ bytes: 4096 }, 1)).toBe(4096);
  });

  test.each([[undefined], [{ ratio: 0 }], [{ ratio: 1.5 }], [{ ratio: Number.NaN }], [{ bytes: 0 }], [{ bytes: 1.5 }]])("%j is refused", (budget) => {
    expect(() => budgetBytes(budget, 1000)).toThrowError(expect.objectContaining({ code: "BAD_OPTION" }));
  });
});

describe("layer shares", () => {
  const smol = { layers: 4 };
  const calibration = {
    shares: [
      { ratio: 0.0625, shares: [0.7, 0.1, 0.1, 0.1] },
      { ratio: 0.25, shares: [40, 20, 20, 20] }, // of any sum
    ],
  };

  test.each([0.01, 0.0625, 0.1, 0.125, 0.2, 0.25, 0.5, 1])("sum to 1 and are all positive at a ratio of %d", (ratio) => {
    const shares = layerShares(smol, ratio, calibration);
    expect(shares.length).toBe(4);
    expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10);
    expect(Math.min(...shares)).toBeGreaterThan(0);
  });

  test("are those measured, half way between them at the ratios' geometric mean, and go towards equal above", () => {
    const firsts = [0.01, 0.0625, 0.125, 0.25, 0.5, 1].map((ratio) => layerShares(smol, ratio, calibration)[0]!);
    for (const [index, expected] of [0.7, 0.7, 0.55, 0.4, 0.325, 0.25].entries()) expect(firsts[index]).toBeCloseTo(expected, 12);
  });

  test("are equal for a model that was not calibrated", () => {
    expect(layerShares(smol, 0.25)).toEqual([0.25, 0.25, 0.25, 0.25]);
  });
});

test("recent tokens weigh a quarter of the others; after a replay as much, and half as much of few bytes, unless the caller says", () => {
  const recency = (policy: PresetName | PolicySpec, ratio: number): number => resolvePolicy(policy, undefined, ratio).recency;
  expect([0.25, 0.125, 0.0625].map((ratio) => recency("lacuna", ratio))).toEqual([0.25, 0.25, 0.25]);
  expect([0.25, 0.125, 0.0625].map((ratio) => recency("lacuna-thorough", ratio))).toEqual([1, 1, 0.5]);
  const replayed = { score: { kind: "kvzip" }, precision: { kind: "rate-distortion" } } as const;
  expect(recency(replayed, 0.125)).toBe(1);
  expect(recency({ ...replayed, precision: { ...replayed.precision, recency: 0.1 } }, 0.0625)).toBe(0.1);
  expect(recency({ ...replayed, schedule: { kind: "prefill" } }, 0.125)).toBe(0);
  expect(recency("kvzip", 0.125)).toBe(0);
});

test("a small budget halves the ring of rate-distortion, unless the caller set it", () => {
  expect(resolvePolicy("lacuna", undefined, 0.125)).toMatchObject({ ring: 16, sinks: 4, score: { sinks: 4 } });
  expect(resolvePolicy("lacuna", undefined, 0.0625)).toMatchObject({ ring: 8, sinks: 2, score: { sinks: 2 } });
  expect(resolvePolicy({ precision: { kind: "rate-distortion" }, ring: 32, sinks: 5 }, undefined, 0.0625)).toMatchObject({
    ring: 32,
    sinks: 5,
    score: { sinks: 5 },
  });
  expect(resolvePolicy("expected-attention", undefined, 0.0625)).toMatchObject({ ring: 16, sinks: 4 });
});

test("beside guests a small ring is longer", () => {
  const spec = { precision: { kind: "rate-distortion" }, guests: 16 } as const;
  expect(resolvePolicy(spec, undefined, 0.0625)).toMatchObject({ ring: 12, sinks: 2, guests: 16 });
  expect(resolvePolicy({ ...spec, ring: 9 }, undefined, 0.0625)).toMatchObject({ ring: 9, sinks: 2 });
  expect(resolvePolicy(spec, undefined, 0.125)).toMatchObject({ ring: 16, sinks: 4 });
});

// calibrate: the tiny model measured from the bundled text: what the bases do on keys of another text, what a replay says against the engine's own
// caches, that nothing stays on the GPU, and that the bundled file is this model's.

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { calibrate } from "../../src/calibrate/calibrate";
import { hadamardCoder } from "../../src/calibrate/codec";
import { decodeCalibration, encodeCalibration } from "../../src/calibrate/file";
import { bundledCalibration, chunkedStore, findCalibration, keepCalibration } from "../../src/calibrate/find";
import { type OpenModel, openModel } from "../../src/calibrate/open";
import { Replay, type Rows } from "../../src/calibrate/replay";
import { rowsOf } from "../../src/calibrate/statistics";
import { type LayerSurvey, survey } from "../../src/calibrate/survey";
import { calibrationIds } from "../../src/calibrate/texts";
import { score } from "../../src/generate/score";
import { float16Bits } from "../../src/load/float16";
import { fileSource } from "../../src/node/file-source";
import { nodeGpu } from "../../src/node/open-gpu";
import type { Calibration } from "../../src/policy/calibration";
import { inner } from "../reference/calibration";
import { decodeKlt, encodeKlt, fold, recode, times } from "../reference/codec";
import { expectClose, tolerances } from "../tolerances";
import { eventsOf, failureOf, goldenTexts, TINY } from "./tiny-engine";

const [D, G, L] = [32, 2, 4];
const RING = 256; // tokens, half of which a prompt leaves free

describe("calibrate", () => {
  let model: OpenModel;
  let calibration: Calibration;
  let bytesBefore = 0;
  const said: string[] = [];

  beforeAll(async () => {
    const source = await fileSource(TINY);
    model = await openModel(source, { gpu: await nodeGpu() });
    await source.close?.();
    bytesBefore = model.runtime.transformer.gpu.ledger.bytes();
    calibration = await calibrate(model.runtime, { model: model.sha256, say: (line) => said.push(line) });
  }, 600_000);
  afterAll(() => model?.dispose());

  test("nothing of it stays on the GPU, also when it is aborted", async () => {
    const { ledger } = model.runtime.transformer.gpu;
    expect(ledger.bytes()).toBe(bytesBefore);
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    const failure = await failureOf(calibrate(model.runtime, { model: model.sha256, signal: controller.signal, onProgress }));
    expect(failure.code).toBe("ABORTED");
    expect(ledger.bytes()).toBe(bytesBefore);
  });

  test("it says what it chose, and every part is there", () => {
    console.log(said.join("\n"));
    expect(said.some((line) => line.startsWith("keys at 4 bits"))).toBe(true);
    expect(calibration.shares.map(({ ratio }) => ratio)).toEqual([0.0625, 0.125, 0.25]);
    for (const { shares } of calibration.shares) {
      expect(shares.length).toBe(L);
      expect(Math.abs(shares.reduce((a, b) => a + b) - 1)).toBeLessThan(1e-9);
      expect(Math.min(...shares)).toBeGreaterThan(0.2 / L - 1e-9);
    }
    for (const values of [calibration.residualPower, calibration.sensitivity]) {
      expect(values.length).toBe(L);
      for (const value of values) expect(value).toBeGreaterThan(0);
    }
    for (const values of Object.values(calibration).filter((value) => value instanceof Float32Array)) expect(values.every(Number.isFinite)).toBe(true);
  });

  test("on keys of another text a calibrated basis errs less than a Hadamard one at 2 bits, where it matters: in logits", async () => {
    const errors = { calibrated: 0, hadamard: 0, logits: 0 };
    await survey(model.runtime.transformer, goldenTexts().long.ids, (layer, index) => addErrors(errors, layer, index, calibration));
    console.log(
      `squared errors of logits over their variance: calibrated ${(errors.calibrated / errors.logits).toPrecision(3)}, Hadamard ${(errors.hadamard / errors.logits).toPrecision(3)}`,
    );
    expect(errors.calibrated).toBeLessThan(0.75 * errors.hadamard);
  });

  test("a replay over the text's own rows changes nothing, over coded ones what the engine's own cache changes", async () => {
    const { runtime } = model;
    const ids = calibrationIds(runtime);
    const layers: LayerSurvey[] = [];
    await survey(runtime.transformer, ids.document, (layer) => layers.push(layer));
    const replay = new Replay(runtime.transformer, ids.document, ids.first, layers);
    try {
      await replay.begin();
      expect(await replay.divergence(() => undefined)).toBeLessThan(1e-9);
      expect(await replay.divergence(() => undefined, 2)).toBeLessThan(1e-9);
      const simulated = await replay.divergence((index) => layers[index] && fourBits(layers[index], index, calibration));
      const policy = { precision: { kind: "uniform", format: "k4v4" }, ring: RING } as const; // the continuation fits the ring and stays exact
      const done = (await eventsOf(score(runtime, { prompt: { ids: [...ids.document, ...ids.first] }, from: ids.document.length, policy }))).at(-1);
      if (done?.kind !== "done") throw new Error("the score did not end");
      const kls = done.result.tokens.filter((_, n) => n % 2 === 1).map(({ kl }) => kl); // after every second token of the continuation
      const engine = kls.reduce((sum, kl) => sum + kl, 0) / kls.length;
      console.log(`4 bits: simulated KL ${simulated.toPrecision(3)}, the engine's ${engine.toPrecision(3)}`);
      expect(simulated).toBeGreaterThan(0.85 * engine);
      expect(simulated).toBeLessThan(1.15 * engine);
    } finally {
      replay.dispose();
    }
  });

  test("the bundled file is this model's, and as this machine measures it", async () => {
    const path = bundledCalibration(model.sha256);
    if (path === undefined) throw new Error("no calibration is bundled for the tiny model");
    const bundled = decodeCalibration(new Uint8Array(readFileSync(path)), model.sha256);
    const fresh = decodeCalibration(encodeCalibration(calibration), model.sha256);
    for (const name of ["keyMeans", "valueMeans"] as const) expectClose(bundled[name], fresh[name], tolerances.measuredMean);
    const mean = (values: Float32Array): number => values.reduce((a, b) => a + b) / values.length;
    for (const [index, { format, key, value }] of fresh.errors.entries()) {
      expect(bundled.errors[index]?.format).toBe(format);
      expectClose(
        [mean(bundled.errors[index]?.key ?? new Float32Array(1)), mean(bundled.errors[index]?.value ?? new Float32Array(1))],
        [mean(key), mean(value)],
        tolerances.measuredError,
      );
    }
  });

  test("one that was kept is found again; a damaged one is not", async () => {
    const kept = new Map<string, Uint8Array<ArrayBuffer>>();
    const store = chunkedStore({
      chunks: async (file: string) => (kept.has(file) ? [new Blob([kept.get(file) ?? new Uint8Array()])] : []),
      put: async (file: string, _index: number, bytes: Uint8Array<ArrayBuffer>) => void kept.set(file, bytes),
      complete: async () => {},
      isComplete: async (file: string) => kept.has(file),
      delete: async (file: string) => void kept.delete(file),
    });
    const other = { ...calibration, model: "12".repeat(32) };
    expect(await findCalibration(other.model, async () => undefined, store)).toBeUndefined();
    await keepCalibration(other, store);
    expect((await findCalibration(other.model, async () => undefined, store))?.shares).toEqual(other.shares);
    for (const bytes of kept.values()) bytes.fill(0, 0, 4);
    expect(await findCalibration(other.model, async () => undefined, store)).toBeUndefined();
    expect(kept.size).toBe(0);
  });
});

/** Squared errors of q . k over sampled queries and keys, coded and decoded by the reference codec; and the variance of q . (k - mean). */
function addErrors(errors: { calibrated: number; hadamard: number; logits: number }, layer: LayerSurvey, index: number, calibration: Calibration): void {
  for (let g = 0; g < G; g++) {
    const at = index * G + g;
    const matrix = (name: "keyBasis" | "queryBasis"): Float32Array => calibration[name].subarray(at * D * D, (at + 1) * D * D);
    const mean = calibration.keyMeans.subarray(at * D, (at + 1) * D);
    const folded = fold(matrix("keyBasis"), matrix("queryBasis"), calibration.groupScales.subarray(at * 4, (at + 1) * 4));
    const keys = rowsOf(layer.keys, g, layer.tokens, D).filter((_, t) => t >= 4 && t % 5 === 0);
    const centred = keys.map((key) => key.map((value, i) => value - mean[i]!));
    const klt = centred.map((key) => times(folded.queries, decodeKlt(encodeKlt(times(folded.keys, key), [4, 2, 2, 0], folded.energies), [4, 2, 2, 0]), true));
    const plain = keys.map((key) => recode(key, mean, 2).map((value, i) => value - mean[i]!));
    for (let t = 8; t < layer.tokens; t += 23)
      for (let h = 0; h < 3; h++) {
        const query = Float64Array.from(layer.rotated.subarray((t * 6 + 3 * g + h) * D, (t * 6 + 3 * g + h + 1) * D));
        centred.forEach((key, n) => {
          const exact = inner(query, key);
          errors.logits += exact ** 2;
          errors.calibrated += (inner(query, klt[n]!) - exact) ** 2;
          errors.hadamard += (inner(query, plain[n]!) - exact) ** 2;
        });
      }
  }
}

/** A layer's rows with everything but the sinks and the newest, which the ring holds, at 4 bits. */
function fourBits({ tokens, keys, values }: LayerSurvey, index: number, calibration: Calibration): Rows {
  const coder = hadamardCoder(4, D);
  const coded = (halves: Uint16Array, means: Float32Array): Uint16Array => {
    const result = halves.slice();
    for (let g = 0; g < G; g++)
      rowsOf(halves, g, tokens, D).forEach((row, t) => {
        if (t < 4 || t >= tokens - RING / 2) return;
        const mean = means.subarray((index * G + g) * D, (index * G + g + 1) * D);
        const centred = row.map((value, i) => value - mean[i]!);
        coder(centred);
        result.set(
          Uint16Array.from(centred, (value, i) => float16Bits(value + mean[i]!)),
          (g * tokens + t) * D,
        );
      });
    return result;
  };
  return { keys: coded(keys, calibration.keyMeans), values: coded(values, calibration.valueMeans) };
}

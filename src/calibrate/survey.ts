// survey: runs a text through the model layer by layer and reads back what a calibration looks at: queries, keys, values, the residual stream,
// and the importance that the default score gives each slot. Leaves to others: what is made of it (statistics.ts, shares.ts).

import type { PolicySpec } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import { Sequence } from "../model/sequence";
import type { Transformer } from "../model/transformer";
import type { LayerRows } from "./statistics";

/** One layer of a text of T tokens. */
export interface LayerSurvey extends LayerRows {
  readonly importance: Float32Array; // (G, T), sums to 1 over a head's slots past the sinks
  /** Median over tokens of the residual stream's squared norm after attention. */
  readonly residualPower: number;
}

/** The default score, under a precision that needs no calibration. */
const SCORED: PolicySpec = { score: { kind: "ensemble" }, precision: { kind: "rate-distortion", formats: ["k4v4"] } };

/** Runs `ids`; calls `look` with every layer in turn. Throws ABORTED between chunks; nothing stays on the GPU. */
export async function survey(
  transformer: Transformer,
  ids: readonly number[],
  look: (layer: LayerSurvey, index: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const { gpu, config, chunk } = transformer;
  const { heads, kvHeads, headSize, hidden: width } = config;
  const prompt = transformer.bindPrompt(ids);
  const residual = gpu.createBuffer("Survey.residual", chunk * width * 4, "staging");
  const sequence = new Sequence(transformer, { policy: SCORED, budget: { ratio: 0.5 } }, ids.length); // for its scorer; nothing is cached
  try {
    const scorer = sequence.target().score?.({ ...prompt.scoreBuffers, promptTokens: ids.length });
    if (!scorer) throw new EngineError("INTERNAL", "The calibration's policy has no score. Please report this.");
    await gpu.kernels.ready();
    for (let layer = 0; layer < config.layers; layer++) {
      const queries = new Float32Array(ids.length * heads * headSize);
      const rotated = new Float32Array(ids.length * heads * headSize);
      const powers: number[] = [];
      for (let first = 0; first < ids.length; first += chunk) {
        throwIfAborted(signal);
        const tokens = Math.min(chunk, ids.length - first);
        transformer.step.write({ tokens, firstRow: first, firstPosition: first, keyRow: first, context: first + tokens });
        const recorder = gpu.record("survey");
        prompt.recordKeys(recorder, layer, tokens);
        if (first === 0) scorer.begin(recorder, layer);
        scorer.gather(recorder, tokens, first);
        prompt.recordRest(recorder, layer, tokens, () => recorder.copy(prompt.hidden, first * width * 4, residual, 0, tokens * width * 4));
        if (first + tokens === ids.length) scorer.finish(recorder);
        recorder.submit();
        const row = heads * headSize;
        const projected = new Float32Array(await gpu.read(prompt.scoreBuffers.qkv, 0, tokens * (row + 2 * kvHeads * headSize) * 4));
        for (let t = 0; t < tokens; t++)
          queries.set(projected.subarray(t * (row + 2 * kvHeads * headSize), t * (row + 2 * kvHeads * headSize) + row), (first + t) * row);
        rotated.set(new Float32Array(await gpu.read(prompt.scoreBuffers.rotated, 0, tokens * row * 4)), first * row);
        powers.push(...squaredNorms(new Float32Array(await gpu.read(residual, 0, tokens * width * 4)), width));
      }
      const { rows, planeWords } = prompt.staging;
      const halves = kvHeads * ids.length * headSize;
      const keys = new Uint16Array(await gpu.read(rows, 0, Math.ceil(halves / 2) * 4)).subarray(0, halves);
      const values = new Uint16Array(await gpu.read(rows, planeWords * 4, Math.ceil(halves / 2) * 4)).subarray(0, halves);
      const importance = new Float32Array(await gpu.read(scorer.importance, 0, kvHeads * ids.length * 4));
      look({ tokens: ids.length, queries, rotated, keys, values, importance, residualPower: median(powers) }, layer);
    }
  } finally {
    sequence.dispose();
    gpu.destroyBuffer(residual);
    prompt.dispose();
  }
}

function squaredNorms(rows: Float32Array, width: number): number[] {
  return Array.from({ length: rows.length / width }, (_, t) => rows.subarray(t * width, (t + 1) * width).reduce((sum, value) => sum + value * value, 0));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

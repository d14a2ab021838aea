// survey: runs a text through the model layer by layer and reads back what a calibration looks at: queries, keys, values, the residual stream,
// and the importance that the default score gives each slot. Leaves to others: what is made of it (statistics.ts, shares.ts).

import type { PolicySpec } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import type { Recorder } from "../gpu/recorder";
import { Sequence } from "../model/sequence";
import type { PromptOps, Transformer } from "../model/transformer";
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
  const prompt = transformer.bindPrompt(ids);
  const sequence = new Sequence(transformer, { policy: SCORED, budget: { ratio: 0.5 } }, ids.length); // for its scorer; nothing is cached
  const seen = new Seen(transformer, prompt, ids.length);
  try {
    const scorer = sequence.target().score?.({ ...prompt.scoreBuffers, promptTokens: ids.length });
    if (!scorer) throw new EngineError("INTERNAL", "The calibration's policy has no score. Please report this.");
    await gpu.kernels.ready();
    for (let layer = 0; layer < config.layers; layer++) {
      for (let first = 0; first < ids.length; first += chunk) {
        throwIfAborted(signal);
        const tokens = Math.min(chunk, ids.length - first);
        transformer.step.write({ tokens, firstRow: first, firstPosition: first, keyRow: first, context: first + tokens });
        const recorder = gpu.record("survey");
        prompt.recordKeys(recorder, layer, tokens);
        if (first === 0) scorer.begin(recorder, layer);
        scorer.gather(recorder, tokens, first);
        prompt.recordRest(recorder, layer, tokens, () => seen.recordChunk(recorder, first, tokens));
        if (first + tokens === ids.length) {
          scorer.finish(recorder);
          seen.recordLayer(recorder, scorer.importance);
        }
        recorder.submit();
      }
      look(await seen.read(), layer);
    }
  } finally {
    seen.dispose();
    sequence.dispose();
    prompt.dispose();
  }
}

/** What is looked at of one layer, gathered in one buffer: a wait for the GPU costs more than the bytes. */
class Seen {
  readonly #buffer: GPUBuffer;
  /** Bytes where each part begins, and the end. */
  readonly #at: {
    readonly projected: number;
    readonly rotated: number;
    readonly residual: number;
    readonly rows: number;
    readonly importance: number;
    readonly end: number;
  };

  constructor(
    private readonly transformer: Transformer,
    private readonly prompt: PromptOps,
    private readonly tokens: number,
  ) {
    const { heads, kvHeads, headSize, hidden } = transformer.config;
    const projected = 0;
    const rotated = projected + tokens * (heads + 2 * kvHeads) * headSize * 4;
    const residual = rotated + tokens * heads * headSize * 4;
    const rows = residual + tokens * hidden * 4;
    const importance = rows + prompt.staging.rows.size;
    this.#at = { projected, rotated, residual, rows, importance, end: importance + kvHeads * tokens * 4 };
    this.#buffer = transformer.gpu.createBuffer("Survey.seen", this.#at.end, "staging");
  }

  /** After a chunk's attention: its queries before and after RoPE, and the residual stream. */
  recordChunk(recorder: Recorder, first: number, tokens: number): void {
    const { heads, kvHeads, headSize, hidden } = this.transformer.config;
    const { qkv, rotated } = this.prompt.scoreBuffers;
    const copy = (source: GPUBuffer, sourceRow: number, at: number, width: number): void =>
      recorder.copy(source, sourceRow * width * 4, this.#buffer, at + first * width * 4, tokens * width * 4);
    copy(qkv, 0, this.#at.projected, (heads + 2 * kvHeads) * headSize);
    copy(rotated, 0, this.#at.rotated, heads * headSize);
    copy(this.prompt.hidden, first, this.#at.residual, hidden);
  }

  /** After a layer's last chunk: its keys, values and importance. */
  recordLayer(recorder: Recorder, importance: GPUBuffer): void {
    const { rows } = this.prompt.staging;
    recorder.copy(rows, 0, this.#buffer, this.#at.rows, rows.size);
    recorder.copy(importance, 0, this.#buffer, this.#at.importance, this.#at.end - this.#at.importance);
  }

  async read(): Promise<LayerSurvey> {
    const { heads, kvHeads, headSize, hidden } = this.transformer.config;
    const { tokens } = this;
    const bytes = await this.transformer.gpu.read(this.#buffer);
    const row = heads * headSize;
    const stride = row + 2 * kvHeads * headSize;
    const projected = new Float32Array(bytes, this.#at.projected, tokens * stride);
    const queries = new Float32Array(tokens * row);
    for (let t = 0; t < tokens; t++) queries.set(projected.subarray(t * stride, t * stride + row), t * row);
    const halves = kvHeads * tokens * headSize;
    return {
      tokens,
      queries,
      rotated: new Float32Array(bytes, this.#at.rotated, tokens * row),
      keys: new Uint16Array(bytes, this.#at.rows, halves).slice(), // kept, unlike the rest
      values: new Uint16Array(bytes, this.#at.rows + this.prompt.staging.planeWords * 4, halves).slice(),
      importance: new Float32Array(bytes, this.#at.importance, kvHeads * tokens).slice(),
      residualPower: median(squaredNorms(new Float32Array(bytes, this.#at.residual, tokens * hidden), hidden)),
    };
  }

  dispose(): void {
    this.transformer.gpu.destroyBuffer(this.#buffer);
  }
}

function squaredNorms(rows: Float32Array, width: number): number[] {
  return Array.from({ length: rows.length / width }, (_, t) => rows.subarray(t * width, (t + 1) * width).reduce((sum, value) => sum + value * value, 0));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

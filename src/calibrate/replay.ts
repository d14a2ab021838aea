// replay: what a continuation of a text looks like to the model when the text's keys and values are not what they were: coded, or dropped.
// Every layer's rows are put into the prefill's staging buffer, and the continuation runs over them: no cache, no pages, a few seconds at most.
// Leaves to others: the rows (shares.ts, codec.ts).

import { throwIfAborted } from "../errors";
import type { Recorder } from "../gpu/recorder";
import { bindDivergence, DIVERGENCE_BYTES, readDivergence } from "../kernels/divergence";
import type { PromptOps, Transformer } from "../model/transformer";

/** A layer's keys and values over the text: (G, T, D) f16 each. */
export interface Rows {
  readonly keys: Uint16Array;
  readonly values: Uint16Array;
}

/** One token in so many has its logits compared: the head is a fifth of a small model. */
const JUDGED = 2;

/** Layers that are submitted before the GPU is waited for: each brings its rows along. */
const LAYERS_AHEAD = 8;

/** One continuation of one text. Dispose it. */
export class Replay {
  readonly #prompt: PromptOps;
  readonly #divergence: ReturnType<typeof bindDivergence>;
  readonly #full: GPUBuffer; // (V) f32: the exact logits that are compared with
  readonly #result: GPUBuffer; // DIVERGENCE_BYTES
  readonly #results: GPUBuffer; // (N / JUDGED, DIVERGENCE_BYTES)
  readonly #owner: string;
  readonly #exact: GPUBuffer; // (N / JUDGED, V) f32: logits over the text's own keys and values
  readonly #starts: GPUBuffer; // (L, N, hidden) f32: the continuation's hidden states before each layer, over the text's own keys and values
  readonly #continuation: readonly number[];

  /** @param rows the text's own, by layer. Throws ABORTED; call dispose() then too */
  constructor(
    private readonly transformer: Transformer,
    private readonly text: readonly number[],
    continuation: readonly number[],
    private readonly rows: readonly Rows[],
    private readonly signal?: AbortSignal,
  ) {
    const { gpu, config } = transformer;
    this.#continuation = continuation;
    this.#owner = transformer.nameSequence();
    this.#prompt = transformer.bindPrompt([...text, ...continuation], { masked: true });
    const make = (part: string, bytes: number): GPUBuffer => gpu.createBuffer(`Replay.${part}`, bytes, "staging", { owner: this.#owner });
    const { vocab, layers, hidden } = config;
    const judged = Math.ceil(continuation.length / JUDGED);
    this.#exact = make("exact", judged * vocab * 4);
    this.#starts = make("starts", layers * continuation.length * hidden * 4);
    this.#full = make("full", vocab * 4);
    this.#result = make("result", DIVERGENCE_BYTES);
    this.#results = make("results", judged * DIVERGENCE_BYTES);
    this.#divergence = bindDivergence(gpu, { logits: transformer.logits, fullLogits: this.#full, next: make("next", 4), result: this.#result, vocab });
  }

  /** Runs the continuation over the text's own rows: what everything else is compared with. Call it first. */
  async begin(): Promise<void> {
    const { gpu, config } = this.transformer;
    await gpu.kernels.ready();
    await this.#run(0, () => undefined, true);
    this.#eachLogits((recorder, index) => recorder.copy(this.transformer.logits, 0, this.#exact, index * config.vocab * 4, config.vocab * 4));
    await gpu.idle();
  }

  /**
   * Mean KL(exact || changed) over every second of the continuation's tokens, nats.
   * @param changed a layer's rows instead of the text's own, undefined for those; layers before `from` are not asked for
   */
  async divergence(changed: (layer: number) => Rows | undefined, from = 0): Promise<number> {
    const { gpu, config } = this.transformer;
    await this.#run(from, changed, false);
    this.#eachLogits((recorder, index) => {
      recorder.copy(this.#exact, index * config.vocab * 4, this.#full, 0, config.vocab * 4);
      this.#divergence.record(recorder);
      recorder.copy(this.#result, 0, this.#results, index * DIVERGENCE_BYTES, DIVERGENCE_BYTES);
    });
    const bytes = await gpu.read(this.#results);
    const count = this.#results.size / DIVERGENCE_BYTES;
    let sum = 0;
    for (let index = 0; index < count; index++) sum += readDivergence(bytes.slice(index * DIVERGENCE_BYTES, (index + 1) * DIVERGENCE_BYTES)).kl;
    return sum / count;
  }

  dispose(): void {
    this.#prompt.dispose();
    this.transformer.gpu.destroyOwned(this.#owner);
  }

  /** Submits the head of every judged token; `and` adds what becomes of the logits, which stand in transformer.logits. */
  #eachLogits(and: (recorder: Recorder, index: number) => void): void {
    for (let n = 0; n < this.#continuation.length; n += JUDGED) {
      this.transformer.step.write({ tokens: 1, firstRow: this.text.length + n });
      const recorder = this.transformer.gpu.record("Replay.logits");
      this.#prompt.recordLogits(recorder);
      and(recorder, n / JUDGED);
      recorder.submit();
    }
  }

  /** Layers from..L-1 of the continuation; `keep` notes the hidden states that each begins with. */
  async #run(from: number, changed: (layer: number) => Rows | undefined, keep: boolean): Promise<void> {
    const { gpu, config, chunk, step } = this.transformer;
    const [T, N] = [this.text.length, this.#continuation.length];
    const bytes = N * config.hidden * 4;
    const { hidden } = this.#prompt;
    for (let layer = from; layer < config.layers; layer++) {
      throwIfAborted(this.signal);
      const rows = changed(layer) ?? this.rows[layer];
      if (rows) this.#load(rows);
      for (let first = 0; first < N; first += chunk) {
        const tokens = Math.min(chunk, N - first);
        const row = T + first;
        step.write({ tokens, firstRow: row, firstPosition: row, keyRow: row, context: row + tokens });
        const recorder = gpu.record("Replay.run");
        if (first === 0 && layer > 0 && keep) recorder.copy(hidden, T * config.hidden * 4, this.#starts, layer * bytes, bytes);
        if (first === 0 && layer === from && layer > 0) recorder.copy(this.#starts, layer * bytes, hidden, T * config.hidden * 4, bytes);
        this.#prompt.recordKeys(recorder, layer, tokens);
        this.#prompt.recordRest(recorder, layer, tokens);
        recorder.submit();
      }
      if (layer % LAYERS_AHEAD === LAYERS_AHEAD - 1) await gpu.idle();
    }
  }

  /** Puts the text's rows of one layer where the prefill would have left them. */
  #load({ keys, values }: Rows): void {
    const { kvHeads, headSize } = this.transformer.config;
    const { rows, capacity, planeWords } = this.#prompt.staging;
    const length = this.text.length * headSize;
    for (let head = 0; head < kvHeads; head++) {
      const at = head * capacity * headSize * 2;
      this.transformer.gpu.write(rows, at, keys.subarray(head * length, (head + 1) * length));
      this.transformer.gpu.write(rows, planeWords * 4 + at, values.subarray(head * length, (head + 1) * length));
    }
  }
}

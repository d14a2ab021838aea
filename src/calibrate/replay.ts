// replay: what a continuation of a text looks like to the model when the text's keys and values are not what they were: coded, or dropped.
// Every layer's rows are put into the prefill's staging buffer, and the continuation runs over them: no cache, no pages, a few seconds at most.
// Leaves to others: the rows (shares.ts, codec.ts).

import { throwIfAborted } from "../errors";
import { Judge } from "../model/judge";
import type { PromptOps, Transformer } from "../model/transformer";

/** A layer's keys and values over the text: (G, T, D) f16 each. */
export interface Rows {
  readonly keys: Uint16Array;
  readonly values: Uint16Array;
}

/** One token in so many has its logits compared: the head is a fifth of a small model. */
const JUDGED = 2;

/** One continuation of one text. Dispose it. */
export class Replay {
  readonly #prompt: PromptOps;
  readonly #judge: Judge;
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
    this.#judge = new Judge(transformer, this.#owner);
    const make = (part: string, floats: number): GPUBuffer => gpu.createBuffer(`Replay.${part}`, floats * 4, "staging", { owner: this.#owner });
    this.#exact = make("exact", Math.ceil(continuation.length / JUDGED) * config.vocab);
    this.#starts = make("starts", config.layers * continuation.length * config.hidden);
  }

  /** Runs the continuation over the text's own rows: what everything else is compared with. Call it first. */
  async begin(): Promise<void> {
    const { gpu, config } = this.transformer;
    await gpu.kernels.ready();
    await this.#run(0, () => undefined, true);
    for (let n = 0; n < this.#continuation.length; n += JUDGED) {
      this.transformer.step.write({ tokens: 1, firstRow: this.text.length + n });
      const recorder = gpu.record("Replay.exact");
      this.#prompt.recordLogits(recorder);
      recorder.copy(this.transformer.logits, 0, this.#exact, (n / JUDGED) * config.vocab * 4, config.vocab * 4);
      recorder.submit();
    }
    await gpu.idle();
  }

  /**
   * Mean KL(exact || changed) over every second of the continuation's tokens, nats.
   * @param changed a layer's rows instead of the text's own, undefined for those; layers before `from` are not asked for
   */
  async divergence(changed: (layer: number) => Rows | undefined, from = 0): Promise<number> {
    const { gpu, config } = this.transformer;
    await this.#run(from, changed, false);
    let [sum, count] = [0, 0];
    for (let n = 0; n < this.#continuation.length; n += JUDGED) {
      throwIfAborted(this.signal);
      this.transformer.step.write({ tokens: 1, firstRow: this.text.length + n });
      const recorder = gpu.record("Replay.judge");
      this.#prompt.recordLogits(recorder);
      recorder.copy(this.transformer.logits, 0, this.#judge.logits, 0, config.vocab * 4);
      recorder.copy(this.#exact, (n / JUDGED) * config.vocab * 4, this.#judge.fullLogits, 0, config.vocab * 4);
      recorder.submit();
      sum += (await this.#judge.compare(this.#continuation[n + 1] ?? 0)).kl;
      count++;
    }
    return sum / count;
  }

  dispose(): void {
    this.#judge.dispose();
    this.#prompt.dispose();
    this.transformer.gpu.destroyOwned(this.#owner);
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
      await gpu.idle();
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

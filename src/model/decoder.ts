// decoder: one token a step over one cache: embed, layers, head, and the sampler that feeds the next step, all in one submit.
// The host writes one small uniform per step and creates nothing.

import type { KvCache } from "../cache/kv-cache";
import { Readback, runAhead } from "../gpu/readback";
import type { Recorder } from "../gpu/recorder";
import { bindRingRope } from "../kernels/ring-rope";
import { bindSampler, type SamplerOptions } from "../kernels/sample";
import type { PromptEnd } from "./prefill";
import type { Transformer } from "./transformer";

interface TokenOp {
  record(recorder: Recorder, tokens: number): void;
}

export class Decoder {
  readonly #embed: TokenOp;
  readonly #rotate: readonly TokenOp[];
  readonly #head: TokenOp;
  readonly #sampler: ReturnType<typeof bindSampler>;
  readonly #token: GPUBuffer; // id of the token to run next, and the sampler's flag
  readonly #one = new Uint32Array(1);
  readonly #samples: Readback;
  #sampled = 0;

  /** @param logits where the head writes; the transformer's own by default, where a prompt's last logits stand too */
  constructor(
    private readonly transformer: Transformer,
    private readonly cache: KvCache,
    private readonly sampling: SamplerOptions & { readonly seed: number },
    promptIds: readonly number[],
    logits: GPUBuffer = transformer.logits,
  ) {
    const { gpu, config } = transformer;
    const { owner, shape } = cache.plan;
    this.#token = gpu.createBuffer("Decoder.token", 8, "scratch", { owner });
    this.#samples = new Readback(gpu, 8, runAhead(gpu), owner);
    this.#embed = transformer.bindEmbedding(this.#token, transformer.hidden);
    this.#rotate = Array.from({ length: shape.layers }, (_, layer) => bindRingRotation(transformer, cache, layer));
    this.#head = transformer.bindHead(logits);
    this.#sampler = bindSampler(gpu, { logits, vocab: config.vocab, step: transformer.step.buffer, token: this.#token, sampling, recentIds: promptIds, owner });
  }

  /** Samples on their way back. */
  get pending(): number {
    return this.#samples.pending;
  }

  /** True while another step may be recorded before a sample is taken. */
  get hasRoom(): boolean {
    return this.#samples.pending < this.#samples.depth;
  }

  /** The oldest sample on its way: its id, and whether the logits it came from were finite. */
  async take(): Promise<{ readonly id: number; readonly finite: boolean }> {
    const position = this.cache.tokens - this.#samples.pending + 1; // where its token will stand, or does: each step samples once
    const [id = 0, bad = 0] = new Uint32Array(await this.#samples.take());
    this.cache.watcher?.tell(position, [id]);
    return { id, finite: bad === 0 };
  }

  /** Samples the first token, from the prompt's last logits. */
  first(): PromptEnd {
    return { step: { seed: this.sampling.seed, index: this.#sampled++ }, record: (recorder) => this.#recordSample(recorder) };
  }

  /** Runs the token sampled last and samples the next. One submit. */
  step(): void {
    const recorder = this.#record(this.#sampled++);
    this.#recordSample(recorder);
    this.#submit(recorder);
  }

  /** Runs a token that the caller chose; its successor's logits stand in the head's output, and are sampled where asked for. One submit. */
  force(id: number, sample = false): void {
    this.#one[0] = id;
    this.cache.watcher?.tell(this.cache.tokens, [id]);
    this.transformer.gpu.write(this.#token, 0, this.#one);
    if (sample) this.step();
    else this.#submit(this.#record(0));
  }

  dispose(): void {
    this.#sampler.dispose();
    this.#samples.dispose();
    this.transformer.gpu.destroyBuffer(this.#token);
  }

  #recordSample(recorder: Recorder): void {
    this.#sampler.record(recorder);
    this.#samples.copy(recorder, this.#token);
  }

  #submit(recorder: Recorder): void {
    recorder.submit();
    this.cache.watcher?.sent();
  }

  /** @param index of the sample that follows, of this decoder's: it makes the random numbers, so tokens that are forced do not count */
  #record(index: number): Recorder {
    const { transformer, cache } = this;
    const { turn, ...step } = cache.advance();
    transformer.step.write({ ...step, seed: this.sampling.seed, index });
    const recorder = transformer.gpu.record("Decoder.step");
    if (turn) cache.recordCompression(recorder, turn);
    cache.watcher?.beforeToken(recorder, step.firstPosition);
    this.#embed.record(recorder, 1);
    for (let layer = 0; layer < transformer.config.layers; layer++) {
      transformer.recordProjections(recorder, layer);
      this.#rotate[layer]?.record(recorder, 1);
      cache.recordAttention(recorder, layer);
      transformer.recordFeedForward(recorder, layer);
    }
    this.#head.record(recorder, 1);
    cache.watcher?.recordToken(recorder, step.firstPosition);
    return recorder;
  }
}

/** RoPE of a token being decoded: its key and value to row step.keyRow of a layer's ring, as that is kept. */
export function bindRingRotation(transformer: Transformer, { buffers, plan }: KvCache, layer: number): TokenOp {
  if (plan.ringBits === 16) return transformer.bindRotation(buffers.openKeys(layer), buffers.openValues(layer));
  const { step, qkv, rotated: queries, turns: table } = transformer.decodeBuffers;
  const shared = { info: buffers.info, pairing: transformer.config.rope.pairing, rows: buffers.ringRows(layer) };
  return bindRingRope(transformer.gpu, plan.geometry, { ...shared, step, qkv, queries, table });
}

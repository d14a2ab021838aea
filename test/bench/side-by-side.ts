// side-by-side: one full cache and several compressed ones. All take the same prompt in one pass and are then forced through the same
// tokens; after each one the compressed caches' logits are compared with the full one's.

import { fullBytesPerToken } from "../../src/cache/page-layout";
import type { PresetName, ScoredToken } from "../../src/engine-types";
import { resolveSampling } from "../../src/generate/sampling-options";
import { Decoder } from "../../src/model/decoder";
import { Judge } from "../../src/model/judge";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import type { Transformer } from "../../src/model/transformer";

/** A policy with what it may use, as a part of the 16-bit cache for all tokens. */
export interface Candidate {
  readonly policy: PresetName;
  readonly ratio?: number;
}

/** "rate-distortion 0.25" */
export function candidateName({ policy, ratio }: Candidate): string {
  return ratio === undefined ? policy : `${policy} ${ratio}`;
}

interface Side {
  readonly sequence: Sequence;
  readonly decoder: Decoder;
}

export class SideBySide {
  readonly #parts: { dispose(): void }[] = [];
  readonly #judge: Judge;
  readonly #full: Side;
  readonly #sides: readonly Side[];
  #last: number | undefined;

  /** @param tokens prompt and forced tokens together: what ratios are ratios of */
  constructor(
    private readonly transformer: Transformer,
    candidates: readonly Candidate[],
    private readonly tokens: number,
  ) {
    this.#judge = this.#keep(new Judge(transformer, "SideBySide"));
    this.#full = this.#side({ policy: "full" }, this.#judge.fullLogits);
    this.#sides = candidates.map((candidate) => this.#side(candidate, this.#judge.logits));
  }

  /** Runs the prompt once, into every cache. */
  async take(prompt: readonly number[], onProgress?: (done: number, total: number) => void): Promise<void> {
    await this.transformer.gpu.kernels.ready();
    const targets = [this.#full, ...this.#sides].map(({ sequence }) => sequence.target());
    await prefill(this.transformer, prompt, targets, this.#judge.promptEnd(), { onProgress: ({ done, total }) => onProgress?.(done, total) });
  }

  /** Feeds the next token to every cache. */
  async force(id: number): Promise<void> {
    if (this.#last !== undefined) for (const { decoder } of [this.#full, ...this.#sides]) decoder.force(this.#last);
    this.#last = id;
    await this.transformer.gpu.device.queue.onSubmittedWorkDone();
  }

  /** How each compressed cache expected the next token `id`, beside the full one; then feeds it. */
  async judge(id: number): Promise<ScoredToken[]> {
    const last = this.#last;
    this.#last = id;
    if (last !== undefined) this.#full.decoder.force(last);
    const scored: ScoredToken[] = [];
    for (const { decoder } of this.#sides) {
      if (last !== undefined) decoder.force(last); // its logits stand in the judge's buffer until the next one's overwrite them
      scored.push(await this.#judge.compare(id));
    }
    return scored;
  }

  /** Measured bytes of each compressed cache over those of the 16-bit cache for all tokens. */
  shares(): number[] {
    const full = this.tokens * fullBytesPerToken(this.transformer.config);
    return this.#sides.map(({ sequence }) => sequence.cache.bytes / full);
  }

  /** The same of the full cache: above 1, as pages and tables cost something. */
  fullShare(): number {
    return this.#full.sequence.cache.bytes / (this.tokens * fullBytesPerToken(this.transformer.config));
  }

  dispose(): void {
    for (const part of this.#parts.splice(0)) part.dispose();
  }

  #side({ policy, ratio }: Candidate, logits: GPUBuffer): Side {
    const sequence = this.#keep(new Sequence(this.transformer, { policy, ...(ratio === undefined ? {} : { budget: { ratio } }) }, this.tokens));
    const decoder = this.#keep(new Decoder(this.transformer, sequence.cache, resolveSampling({}), [], logits));
    return { sequence, decoder };
  }

  #keep<Part extends { dispose(): void }>(part: Part): Part {
    this.#parts.unshift(part);
    return part;
  }
}

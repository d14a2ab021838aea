// judge: two rows of logits for the same tokens, one from a compressed cache and one from the full one, and how far they are apart.

import type { ScoredToken } from "../engine-types";
import { Readback } from "../gpu/readback";
import { bindDivergence, DIVERGENCE_BYTES, readDivergence } from "../kernels/divergence";
import type { PromptEnd } from "./prefill";
import type { Transformer } from "./transformer";

export class Judge {
  readonly logits: GPUBuffer; // (V) f32, of the compressed cache
  readonly fullLogits: GPUBuffer; // (V) f32
  readonly #next: GPUBuffer; // the forced id
  readonly #result: GPUBuffer;
  readonly #readback: Readback;
  readonly #divergence: ReturnType<typeof bindDivergence>;
  readonly #one = new Uint32Array(1);
  readonly #kept: GPUBuffer[] = [];

  constructor(
    private readonly transformer: Transformer,
    private readonly owner: string,
  ) {
    const { gpu, config } = transformer;
    const make = (part: string, bytes: number): GPUBuffer => gpu.createBuffer(`Judge.${part}`, bytes, "scratch", { owner });
    this.logits = make("logits", config.vocab * 4);
    this.fullLogits = make("fullLogits", config.vocab * 4);
    this.#next = make("next", 4);
    this.#result = make("result", DIVERGENCE_BYTES);
    this.#readback = new Readback(gpu, DIVERGENCE_BYTES, 1, owner);
    this.#divergence = bindDivergence(gpu, { logits: this.logits, fullLogits: this.fullLogits, next: this.#next, result: this.#result, vocab: config.vocab });
  }

  /**
   * After a prompt both caches agree: its last logits are read from the unquantized keys and values. Not where one had a pass of its own:
   * then each fills its own buffer.
   */
  promptEnd(targets: readonly GPUBuffer[] = [this.logits, this.fullLogits]): PromptEnd {
    return {
      step: {},
      record: (recorder) => {
        for (const target of targets) recorder.copy(this.transformer.logits, 0, target, 0, target.size);
      },
    };
  }

  /** A buffer for a prompt's last logits, until compare() is to see them. Owned as the judge's own are. */
  keepLogits(): GPUBuffer {
    const { gpu, config } = this.transformer;
    const kept = gpu.createBuffer("Judge.kept", config.vocab * 4, "scratch", { owner: this.owner });
    this.#kept.push(kept);
    return kept;
  }

  /** Takes these for the compressed cache's. */
  show(logits: GPUBuffer): void {
    const recorder = this.transformer.gpu.record("Judge.show");
    recorder.copy(logits, 0, this.logits, 0, this.logits.size);
    recorder.submit();
  }

  /** Compares the logits that stand there, given the token that really follows. */
  async compare(id: number): Promise<ScoredToken> {
    const { gpu } = this.transformer;
    this.#one[0] = id;
    gpu.write(this.#next, 0, this.#one);
    const recorder = gpu.record("Judge");
    this.#divergence.record(recorder);
    this.#readback.copy(recorder, this.#result);
    recorder.submit();
    return { id, ...readDivergence(await this.#readback.take()) };
  }

  dispose(): void {
    this.#readback.dispose();
    for (const buffer of [this.logits, this.fullLogits, this.#next, this.#result, ...this.#kept]) this.transformer.gpu.destroyBuffer(buffer);
  }
}

// cache-snapshot: copies of a cache, made on the GPU: a moment of it that can be gone back to, or another cache that goes on from there.
// Leaves to others: which buffers a cache remembers by (cache-buffers), what the host knows of it (kv-cache).

import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { CacheState, KvCache } from "./kv-cache";

/** A moment of one cache. Its bytes are role "kv" under an owner of their own: no part of the cache's budget, but counted. */
export class CacheSnapshot {
  readonly #state: CacheState;
  readonly #copies: readonly GPUBuffer[];

  /** @param owner names the copies in the byte ledger */
  constructor(
    private readonly gpu: Gpu,
    cache: KvCache,
    readonly owner: string,
  ) {
    this.#state = cache.state;
    const { kept } = cache.buffers;
    try {
      this.#copies = kept.map((buffer) => gpu.createBuffer(`CacheSnapshot.${buffer.label}`, buffer.size, "kv", { owner }));
      copyBuffers(gpu, kept, this.#copies);
    } catch (error) {
      gpu.destroyOwned(owner);
      throw error;
    }
  }

  /** Tokens that the cache held. */
  get tokens(): number {
    return this.#state.tokens;
  }

  /** Live bytes of the copies. */
  get bytes(): number {
    return this.gpu.ledger.bytes({ owner: this.owner });
  }

  /** Puts a cache of the same plan back to this moment, bit by bit. Can be done again. */
  restore(cache: KvCache): void {
    cache.resume(this.#state);
    copyBuffers(this.gpu, this.#copies, cache.buffers.kept);
  }

  dispose(): void {
    this.gpu.destroyOwned(this.owner);
  }
}

/** Makes `target`, of the same plan, hold what `source` holds. */
export function copyCache(gpu: Gpu, source: KvCache, target: KvCache): void {
  target.resume(source.state);
  copyBuffers(gpu, source.buffers.kept, target.buffers.kept);
}

/** The target may have further segments of the pool at its end, of which nothing is in use then. */
function copyBuffers(gpu: Gpu, source: readonly GPUBuffer[], target: readonly GPUBuffer[]): void {
  const recorder = gpu.record("CacheSnapshot.copy");
  for (const [index, buffer] of source.entries()) {
    const to = target[index];
    if (to?.size !== buffer.size)
      throw new EngineError("INTERNAL", `A cache of another plan was to be copied: ${buffer.label} has ${buffer.size} bytes, its copy ${to?.size}.`);
    recorder.copy(buffer, 0, to, 0, buffer.size);
  }
  recorder.submit();
}

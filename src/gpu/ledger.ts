// ledger: counts the bytes of every live GPUBuffer by owner. The only source of memory figures in the project.

/** What a buffer is for. `kv` is what a policy's budget counts; `staging` lives only during a prefill or a load. */
export type BufferRole = "weights" | "kv" | "scratch" | "staging" | "readback";

export interface LedgerEntry {
  readonly role: BufferRole;
  readonly owner: string;
  readonly label: string;
  readonly bytes: number;
}

/** Sums of GPUBuffer.size over live buffers, in bytes, and the largest sums seen. */
export class Ledger {
  readonly #live = new Map<GPUBuffer, LedgerEntry>();
  #total = 0;
  #peak = 0;
  #atPeak: readonly LedgerEntry[] | undefined;

  add(buffer: GPUBuffer, role: BufferRole, owner: string): void {
    this.#live.set(buffer, { role, owner, label: buffer.label, bytes: buffer.size });
    this.#total += buffer.size;
    if (this.#total <= this.#peak) return;
    this.#peak = this.#total;
    this.#atPeak = undefined;
  }

  remove(buffer: GPUBuffer): void {
    const entry = this.#live.get(buffer);
    if (!entry) return;
    if (this.#total === this.#peak) this.#atPeak ??= [...this.#live.values()];
    this.#live.delete(buffer);
    this.#total -= entry.bytes;
  }

  /** Bytes of live buffers that match. */
  bytes(match: { role?: BufferRole; owner?: string } = {}): number {
    let sum = 0;
    for (const entry of this.#live.values()) {
      if (match.role && entry.role !== match.role) continue;
      if (match.owner && entry.owner !== match.owner) continue;
      sum += entry.bytes;
    }
    return sum;
  }

  /** Live buffers of an owner. */
  owned(owner: string): GPUBuffer[] {
    return [...this.#live].filter(([, entry]) => entry.owner === owner).map(([buffer]) => buffer);
  }

  /** The largest total since the last resetPeak(), bytes. */
  get peak(): number {
    return this.#peak;
  }

  /** The buffers that were live when the peak was reached. */
  get atPeak(): readonly LedgerEntry[] {
    return this.#atPeak ?? [...this.#live.values()];
  }

  resetPeak(): void {
    this.#peak = this.#total;
    this.#atPeak = undefined;
  }

  get count(): number {
    return this.#live.size;
  }
}

// ledger: counts the bytes of every live GPUBuffer by owner. The only source of memory figures in the project.

/** What a buffer is for. `kv` is what a policy's budget counts; `staging` lives only during a prefill or a load. */
export type BufferRole = "weights" | "kv" | "scratch" | "staging" | "readback";

export interface LedgerEntry {
  readonly role: BufferRole;
  readonly owner: string;
  readonly label: string;
  readonly bytes: number;
}

/** The largest total of some of the buffers since it was asked for. */
export interface PeakWatch {
  readonly bytes: number;
  end(): void;
}

/** Sums of GPUBuffer.size over live buffers, in bytes, and the largest sums seen. */
export class Ledger {
  readonly #live = new Map<GPUBuffer, LedgerEntry>();
  #total = 0;
  #peak = 0;
  #atPeak: readonly LedgerEntry[] | undefined;
  readonly #watches = new Set<{ readonly without: ReadonlySet<string>; total: number; bytes: number }>();

  add(buffer: GPUBuffer, role: BufferRole, owner: string): void {
    this.#live.set(buffer, { role, owner, label: buffer.label, bytes: buffer.size });
    this.#total += buffer.size;
    for (const watch of this.#watches) if (!watch.without.has(owner)) watch.bytes = Math.max(watch.bytes, (watch.total += buffer.size));
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
    for (const watch of this.#watches) if (!watch.without.has(entry.owner)) watch.total -= entry.bytes;
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

  /** Follows the largest total from now on without the buffers of some owners: the peak as it would be if they were not there. */
  watch(without: readonly string[]): PeakWatch {
    const total = [...this.#live.values()].reduce((sum, entry) => sum + (without.includes(entry.owner) ? 0 : entry.bytes), 0);
    const watch = { without: new Set(without), total, bytes: total };
    this.#watches.add(watch);
    return {
      get bytes() {
        return watch.bytes;
      },
      end: () => void this.#watches.delete(watch),
    };
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

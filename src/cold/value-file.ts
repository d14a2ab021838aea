// value-file: values of blocks in a file, a record each, so that memory holds only their keys. What the file does not take stays in memory.
// Leaves to others: which blocks there are and when one goes (store), the file itself (load/scratch-file).

import type { CacheShape } from "../cache/page-layout";
import type { ScratchFile } from "../load/scratch-file";
import { makePlane, type Plane, planeBytes } from "./plane";

/** Values of one block in one layer: at hand, or the number of their record. */
export interface Filed {
  values: Plane | number;
}

export class ValueFile {
  readonly #owners: (Filed | undefined)[] = []; // by record
  readonly #free: number[] = []; // records without owner
  readonly #recordBytes: number;
  #failure: string | undefined;

  constructor(
    private readonly file: ScratchFile,
    private readonly shape: CacheShape,
  ) {
    this.#recordBytes = planeBytes(shape);
  }

  /** Records that are in use. */
  get used(): number {
    return this.#owners.length - this.#free.length;
  }

  /** Records that are not, and still take room. */
  get free(): number {
    return this.#free.length;
  }

  /** Why it takes no more. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** The file's size as the browser says it. */
  get bytes(): number {
    return this.file.bytes;
  }

  /** Moves values out of memory. Where that fails, those of the rest stay there, and it takes no more. */
  take(parts: readonly Filed[]): void {
    if (this.#failure !== undefined) return;
    const records = this.#claim(parts.length);
    let first = 0;
    while (first < parts.length) {
      let end = first + 1;
      while (end < parts.length && records[end] === (records[end - 1] ?? 0) + 1) end++;
      if (!this.#write(parts.slice(first, end), records[first] ?? 0)) break;
      first = end;
    }
    this.#free.push(...records.slice(first).reverse());
    if (first < parts.length) this.trim(); // the file is not as long as it was to become
  }

  /** A copy of a record; undefined where the file cannot be read. */
  read(record: number): Plane | undefined {
    const plane = makePlane(this.shape);
    return this.#try(() => this.file.read(plane.bytes, record * this.#recordBytes)) ? plane : undefined;
  }

  /** Its record may be used for others. */
  release({ values }: Filed): void {
    if (typeof values !== "number") return;
    this.#owners[values] = undefined;
    this.#free.push(values);
  }

  /** Gives free records back: values at the end move into them, and the file becomes shorter. */
  trim(): void {
    const { used } = this;
    const holes = this.#free.filter((record) => record < used).sort((a, b) => b - a);
    for (let record = this.#owners.length - 1; record >= used; record--) {
      const owner = this.#owners[record];
      const hole = holes.at(-1);
      if (!owner || hole === undefined) continue;
      const plane = this.read(record);
      if (!plane || !this.#try(() => this.file.write(plane.bytes, hole * this.#recordBytes))) break;
      holes.pop();
      this.#owners[record] = undefined;
      this.#owners[hole] = owner;
      owner.values = hole;
    }
    while (this.#owners.length > 0 && !this.#owners.at(-1)) this.#owners.pop();
    this.#free.length = 0;
    for (let record = this.#owners.length - 1; record >= 0; record--) if (!this.#owners[record]) this.#free.push(record);
    this.#try(() => this.file.truncate(this.#owners.length * this.#recordBytes));
  }

  /** Gives the file back at once; resolves when it is deleted. */
  close(): Promise<void> {
    return this.file.close();
  }

  /** So many records, ascending: free ones first, then new ones at the end. */
  #claim(count: number): number[] {
    const records: number[] = [];
    while (records.length < count) records.push(this.#free.pop() ?? this.#owners.push(undefined) - 1);
    return records.sort((a, b) => a - b);
  }

  /** Values of parts into neighbouring records, in one go. @returns false where that failed, and nothing has changed */
  #write(parts: readonly Filed[], first: number): boolean {
    const bytes = new Uint8Array(parts.length * this.#recordBytes);
    for (const [index, { values }] of parts.entries()) if (typeof values !== "number") bytes.set(values.bytes, index * this.#recordBytes);
    if (!this.#try(() => this.file.write(bytes, first * this.#recordBytes))) return false;
    for (const [index, part] of parts.entries()) {
      this.#owners[first + index] = part;
      part.values = first + index;
    }
    return true;
  }

  /** @returns false where the browser refused: the file takes no more then, what it has is still asked for */
  #try(run: () => void): boolean {
    try {
      run();
      return true;
    } catch (error) {
      this.#failure ??= error instanceof Error ? error.message : String(error);
      return false;
    }
  }
}

// metadata: a GGUF's key-value pairs, read with the type and range that the engine needs.

import { EngineError } from "../errors";

/** Values as @huggingface/gguf gives them: strings, numbers, bigints, booleans and arrays of these. */
export type RawMetadata = Readonly<Record<string, unknown>>;

/** Typed access. `need...` throws MISSING_METADATA, `...` gives undefined where the key is absent; a wrong type always throws. */
export class Metadata {
  constructor(
    readonly raw: RawMetadata,
    private readonly file: string,
  ) {}

  string(key: string): string | undefined {
    return this.#typed(key, "a string", (value) => (typeof value === "string" ? value : undefined));
  }

  boolean(key: string): boolean | undefined {
    return this.#typed(key, "true or false", (value) => (typeof value === "boolean" ? value : undefined));
  }

  /** A finite number. */
  number(key: string): number | undefined {
    return this.#typed(key, "a number", toNumber);
  }

  /** A whole number of at least `least`. */
  count(key: string, least: number): number | undefined {
    return this.#typed(key, `a whole number of at least ${least}`, (value) => {
      const number = toNumber(value);
      return number !== undefined && Number.isSafeInteger(number) && number >= least ? number : undefined;
    });
  }

  strings(key: string): readonly string[] | undefined {
    return this.#typed(key, "a list of strings", (value) =>
      Array.isArray(value) && value.every((item) => typeof item === "string") ? (value as string[]) : undefined,
    );
  }

  numbers(key: string): readonly number[] | undefined {
    return this.#typed(key, "a list of numbers", (value) => {
      if (!Array.isArray(value)) return undefined;
      const numbers = value.map(toNumber);
      return numbers.includes(undefined) ? undefined : (numbers as number[]);
    });
  }

  needString(key: string): string {
    return this.string(key) ?? this.#missing(key, "a string");
  }

  needNumber(key: string): number {
    return this.number(key) ?? this.#missing(key, "a number");
  }

  needCount(key: string, least: number): number {
    return this.count(key, least) ?? this.#missing(key, `a whole number of at least ${least}`);
  }

  needStrings(key: string): readonly string[] {
    return this.strings(key) ?? this.#missing(key, "a list of strings");
  }

  /** Throws MISSING_METADATA for a key whose value cannot be used. */
  reject(key: string, expected: string): never {
    const value = this.raw[key];
    const found = Array.isArray(value) ? `a list of ${value.length}` : typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : String(value);
    throw new EngineError(
      "MISSING_METADATA",
      `${this.file}: metadata ${key} is ${found}, expected ${expected}. Convert the model again with llama.cpp's converter.`,
      { key, found, expected },
    );
  }

  #typed<T>(key: string, expected: string, read: (value: unknown) => T | undefined): T | undefined {
    if (this.raw[key] === undefined) return undefined;
    return read(this.raw[key]) ?? this.reject(key, expected);
  }

  #missing(key: string, expected: string): never {
    throw new EngineError("MISSING_METADATA", `${this.file} lacks the metadata ${key} (${expected}). Convert the model again with llama.cpp's converter.`, {
      key,
      found: null,
      expected,
    });
  }
}

function toNumber(value: unknown): number | undefined {
  const number = typeof value === "bigint" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

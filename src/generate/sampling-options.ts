// sampling-options: defaults and bounds of what steers sampling, checked once at the edge. Inside, every field is set.

import type { SamplingOptions } from "../engine-types";
import { EngineError } from "../errors";

/** How the next token is chosen. All fields set, all in bounds. */
export interface Sampling {
  /** 0 = the likeliest token, always. */
  readonly temperature: number;
  /** Number of likeliest tokens to choose from; 0 = all. */
  readonly topK: number;
  /** Choose from the likeliest tokens that together reach this probability, at least one; 1 = all. */
  readonly topP: number;
  /** Choose from tokens at least this fraction as likely as the likeliest; 0 = all. */
  readonly minP: number;
  /** Logits of tokens seen before are divided by it (multiplied when negative); 1 = off. */
  readonly repetitionPenalty: number;
  /** 32-bit seed of the random numbers; drawn at random if none was given. */
  readonly seed: number;
}

export const defaultSampling: Omit<Sampling, "seed"> = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
export const defaultMaxTokens = 256;

/** Sets what is missing and refuses what is out of bounds. `drawSeed` is for tests. */
export function resolveSampling(options: SamplingOptions, drawSeed: () => number = randomSeed): Sampling {
  const given = { ...defaultSampling, ...withoutUndefined(options) };
  return {
    temperature: check("temperature", given.temperature),
    topK: check("topK", given.topK),
    topP: check("topP", given.topP),
    minP: check("minP", given.minP),
    repetitionPenalty: check("repetitionPenalty", given.repetitionPenalty),
    seed: given.seed === undefined ? drawSeed() : check("seed", given.seed),
  };
}

/** The number of tokens to generate at most. */
export function resolveMaxTokens(maxTokens: number | undefined): number {
  return check("maxTokens", maxTokens ?? defaultMaxTokens);
}

interface Bound {
  readonly allows: (value: number) => boolean;
  readonly words: string;
}

const maxSeed = 2 ** 32 - 1;
const fraction: Bound = { allows: (value) => value >= 0 && value <= 1, words: "a number from 0 to 1" };
const bounds = {
  // Below a thousandth, logits divided by it leave f32; that is greedy and can be asked for by 0.
  temperature: { allows: (value) => value === 0 || (value >= 1e-3 && value <= 100), words: "0 (greedy) or a number from 0.001 to 100" },
  topK: { allows: (value) => Number.isInteger(value) && value >= 0 && value <= maxSeed, words: "a whole number from 0 (off)" },
  topP: fraction,
  minP: fraction,
  repetitionPenalty: { allows: (value) => value >= 0.01 && value <= 100, words: "a number from 0.01 to 100, 1 for off" },
  seed: { allows: (value) => Number.isInteger(value) && value >= 0 && value <= maxSeed, words: `a whole number from 0 to ${maxSeed}` },
  maxTokens: { allows: (value) => Number.isInteger(value) && value >= 1 && value <= maxSeed, words: "a whole number from 1" },
} satisfies Record<string, Bound>;

function check(field: keyof typeof bounds, value: number): number {
  const bound: Bound = bounds[field];
  if (typeof value === "number" && bound.allows(value)) return value;
  const found = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? typeof value);
  throw new EngineError("BAD_OPTION", `${field} is ${found}, expected ${bound.words}. Correct or remove it.`, { field, found: value, expected: bound.words });
}

function withoutUndefined(options: SamplingOptions): SamplingOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

// settings: what the person has chosen. Plain signals; the run reads them once when it starts.

import { computed, signal } from "@preact/signals";
import type { Budget, CacheOptions, ColdOptions, PolicySpec, PresetName, Prompt, SamplingOptions } from "../../src/engine-types";
import { policyChoice } from "../policies";
import { SAMPLES, type Sample } from "../samples";

/** A chat message from the user (special tokens are plain text) or raw text to continue. */
export type PromptForm = "message" | "text";
export type RunOrder = "in turn" | "together";
export type ColdStore = NonNullable<ColdOptions["store"]>;

/** Positions of the budget slider, as shares of the 16-bit cache. */
export const BUDGETS = [0.05, 0.0625, 0.08, 0.1, 0.125, 0.16, 0.2, 0.25, 0.33, 0.5, 0.75, 1] as const;

const MEBIBYTE = 1 << 20;

const first = SAMPLES[0] as Sample;

export const promptText = signal(first.text);
export const promptForm = signal<PromptForm>(first.form);
export const sampleName = signal<string | undefined>(first.name);
/** A preset by its name, or a policy composed here. */
export const policy = signal<PresetName | PolicySpec>(first.policy);
export const budgetRatio = signal(first.budget);
export const maxTokens = signal(first.maxTokens);
export const temperature = signal(0);
export const seed = signal(42);
/** The prompt's last sentence comes in after what stands before it was compressed. */
export const askedLater = signal(first.askedLater ?? false);
/** Whether evicted tokens are kept outside the GPU, where, how much of them (MiB), and the rows a head for what comes back (undefined: the engine's own). */
export const coldTier = signal(first.cold !== undefined);
export const coldStore = signal<ColdStore>("memory");
export const coldMiB = signal(first.cold?.mebibytes ?? 64);
export const coldGuests = signal<number | undefined>(first.cold?.guests);
export const order = signal<RunOrder>("in turn");

export const prompt = computed<Prompt>(() =>
  promptForm.value === "message" ? { messages: [{ role: "user", content: promptText.value }] } : { text: promptText.value },
);

export function takeSample(sample: Sample): void {
  promptText.value = sample.text;
  promptForm.value = sample.form;
  policy.value = sample.policy;
  budgetRatio.value = sample.budget;
  maxTokens.value = sample.maxTokens;
  sampleName.value = sample.name;
  askedLater.value = sample.askedLater ?? false;
  coldTier.value = sample.cold !== undefined;
  if (sample.cold) coldMiB.value = sample.cold.mebibytes;
  coldGuests.value = sample.cold?.guests;
}

export function editPrompt(text: string): void {
  promptText.value = text;
  sampleName.value = undefined;
}

export function sampling(): SamplingOptions {
  return temperature.value > 0 ? { temperature: temperature.value, seed: seed.value } : {};
}

/** The compressed pane's cache. `bytes` overrides the slider, for comparisons at equal bytes. */
export function compressedCache(chosen: PresetName | PolicySpec = policy.value, bytes?: number): CacheOptions {
  const { budgeted, noCold } = policyChoice(chosen);
  if (!budgeted) return { policy: chosen };
  const budget: Budget = bytes === undefined ? { ratio: budgetRatio.value } : { bytes };
  return { policy: chosen, budget, ...(coldTier.value && noCold === undefined && { cold: coldOptions() }) };
}

function coldOptions(): ColdOptions {
  const guests = coldGuests.value;
  return { maxBytes: Math.round(coldMiB.value * MEBIBYTE), store: coldStore.value, ...(guests !== undefined && { recall: { guests } }) };
}

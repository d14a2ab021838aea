// samples: prompts to start with. Texts lie in samples/: chapters of Jane Austen's "Persuasion" with facts put between the
// sentences, and the beginning of an address to Congress; public domain, none of it seen by the tiny model in training.

import type { PresetName } from "../src/engine-types";
import { DEFAULT_POLICY } from "./policies";
import essay from "./samples/essay.txt?raw";
import passkey from "./samples/passkey.txt?raw";
import sixFacts from "./samples/six-facts.txt?raw";
import type { PromptForm } from "./state/settings";

export interface Sample {
  readonly name: string;
  readonly title: string;
  /** What to look at while it runs. */
  readonly hint: string;
  readonly text: string;
  readonly form: PromptForm;
  readonly policy: PresetName;
  readonly budget: number;
  readonly maxTokens: number;
}

export const SAMPLES: readonly Sample[] = [
  {
    name: "facts",
    title: "Six facts in a chapter",
    hint: "Six facts are hidden in a chapter, one is asked for at the end. Run it, then let eviction try with the same bytes.",
    text: sixFacts.trim(),
    form: "message",
    policy: DEFAULT_POLICY,
    budget: 0.125,
    maxTokens: 64,
  },
  {
    name: "passkey",
    title: "A pass key",
    hint: "One key in two pages of prose.",
    text: passkey.trim(),
    form: "message",
    policy: DEFAULT_POLICY,
    budget: 0.25,
    maxTokens: 32,
  },
  {
    name: "essay",
    title: "An essay to continue",
    hint: "No question: the model goes on writing. Watch where the two texts part, and what the drift says about it.",
    text: essay.trim(),
    form: "text",
    policy: DEFAULT_POLICY,
    budget: 0.25,
    maxTokens: 128,
  },
];

// samples: prompts to start with. Texts lie in samples/: chapters of Jane Austen's "Persuasion" with facts put between the
// sentences, and the beginning of an address to Congress; public domain, none of it seen by the tiny model in training.

import type { PresetName } from "../src/engine-types";
import { DEFAULT_POLICY } from "./policies";
import comesBack from "./samples/comes-back.txt?raw";
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
  /** The last sentence comes in after the rest was compressed. */
  readonly askedLater?: true;
  /** What is dropped is kept outside the GPU, up to so much. */
  readonly cold?: { readonly mebibytes: number; readonly guests: number };
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
    name: "comes-back",
    title: "What comes back",
    hint: "Facts at the beginning of a long text, most of it dropped under a tight budget, and only then one is asked for: a question chosen because recall answers it, not all are. Run it, then without the cold tier.",
    text: comesBack.trim(),
    form: "message",
    policy: "expected-attention",
    budget: 0.125,
    maxTokens: 32,
    askedLater: true,
    cold: { mebibytes: 4, guests: 80 },
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

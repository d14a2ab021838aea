// slot-range: whether a score is for a prompt's slots or for the ring's rows, and what its shader needs to know of them (lib/prompt-slots, lib/ring-slots).

import promptSlots from "../../shaders/lib/prompt-slots.wgsl?raw";
import ringSlots from "../../shaders/lib/ring-slots.wgsl?raw";
import scoreParams from "../../shaders/lib/score-params.wgsl?raw";
import step from "../../shaders/lib/step.wgsl?raw";

/** Slots of a prompt, with its ScoreParams; or sinks and ring, with a Step: firstPosition of the next token, context = tokens in the ring. */
export type SlotRange = { readonly params: GPUBuffer; readonly tokens: number } | { readonly step: GPUBuffer; readonly slots: number; readonly sinks: number };

export interface SlotRangeParts {
  readonly code: readonly string[];
  readonly constants: Readonly<Record<string, number>>;
  /** Binding 0. */
  readonly uniform: GPUBuffer;
  /** Slots per kv head, sinks included. */
  readonly slots: number;
}

export function slotRangeParts(range: SlotRange): SlotRangeParts {
  if ("params" in range) return { code: [scoreParams, promptSlots], constants: {}, uniform: range.params, slots: range.tokens };
  return { code: [step, ringSlots], constants: { SLOTS: range.slots, SINKS: range.sinks }, uniform: range.step, slots: range.slots };
}

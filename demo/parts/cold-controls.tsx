// cold-controls: whether what the compressed pane drops is kept outside the GPU, how much of it, and the room for what comes back.

import { policyChoice } from "../policies";
import { coldGuests, coldMiB, coldTier, policy } from "../state/settings";
import { NumberField, OptionalNumberField } from "./fields";

export function ColdControls() {
  const { budgeted } = policyChoice(policy.value);
  return (
    <fieldset class="cold-controls">
      <legend class="visually-hidden">Cold tier</legend>
      <label class="check">
        <input
          id="cold-tier"
          type="checkbox"
          checked={coldTier.value}
          disabled={!budgeted}
          aria-describedby="cold-note"
          onChange={(event) => (coldTier.value = event.currentTarget.checked)}
        />{" "}
        Keep what is dropped outside the GPU (cold tier)
      </label>
      {coldTier.value && (
        <div class="pair-fields">
          <NumberField
            label="At most, MiB"
            value={coldMiB.value}
            min={1}
            max={4096}
            step={1}
            disabled={!budgeted}
            onChange={(value) => (coldMiB.value = value)}
          />
          <OptionalNumberField
            label="Guest rows a head"
            value={coldGuests.value}
            min={0}
            max={1024}
            step={8}
            disabled={!budgeted}
            onChange={(value) => (coldGuests.value = value === undefined ? undefined : 8 * Math.round(value / 8))}
          />
        </div>
      )}
      <p class="muted" id="cold-note">
        {note(budgeted)}
      </p>
    </fieldset>
  );
}

function note(budgeted: boolean): string {
  if (!budgeted) return "This policy drops nothing.";
  if (!coldTier.value) return "What is dropped is gone.";
  return "In 8 bits in the worker's memory. It comes back, a few tokens at a time, when what is said points at it; the budget pays for the guest rows.";
}

// cold-controls: whether what the compressed pane drops is kept outside the GPU, where, how much of it, and the room for what comes back.

import { policyChoice } from "../policies";
import { type ColdStore, coldGuests, coldMiB, coldStore, coldTier, policy } from "../state/settings";
import { NumberField, OptionalNumberField, SelectField } from "./fields";

const STORES: readonly (readonly [ColdStore, string])[] = [
  ["memory", "in the worker's memory"],
  ["opfs", "on disk, in the browser's storage"],
];

export function ColdControls() {
  const { noCold } = policyChoice(policy.value);
  const disabled = noCold !== undefined;
  return (
    <fieldset class="cold-controls">
      <legend class="visually-hidden">Cold tier</legend>
      <label class="check">
        <input
          id="cold-tier"
          type="checkbox"
          checked={coldTier.value}
          disabled={disabled}
          aria-describedby="cold-note"
          onChange={(event) => (coldTier.value = event.currentTarget.checked)}
        />{" "}
        Keep what is dropped outside the GPU (cold tier)
      </label>
      {coldTier.value && (
        <SelectField
          id="cold-store"
          label="Kept"
          value={coldStore.value}
          options={STORES}
          disabled={disabled}
          onChange={(value) => (coldStore.value = value)}
        />
      )}
      {coldTier.value && (
        <div class="pair-fields">
          <NumberField
            label="At most, MiB"
            value={coldMiB.value}
            min={1}
            max={4096}
            step={1}
            disabled={disabled}
            onChange={(value) => (coldMiB.value = value)}
          />
          <OptionalNumberField
            label="Guest rows a head"
            value={coldGuests.value}
            min={0}
            max={1024}
            step={8}
            disabled={disabled}
            onChange={(value) => (coldGuests.value = value === undefined ? undefined : 8 * Math.round(value / 8))}
          />
        </div>
      )}
      <p class="muted" id="cold-note">
        {noCold ?? note()}
      </p>
    </fieldset>
  );
}

function note(): string {
  if (!coldTier.value) return "What is dropped is gone.";
  const place = coldStore.value === "opfs" ? "In 8 bits, values in a file that goes with the run, keys in memory." : "In 8 bits.";
  return `${place} It comes back, a few tokens at a time, when what is said points at it; the budget pays for the guest rows.`;
}

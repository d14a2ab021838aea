// controls: what the compressed pane runs with, how both write, and the Run button.

import { useEffect } from "preact/hooks";
import type { PresetName } from "../../src/engine-types";
import { formatCount, formatMemory, formatPercent } from "../format";
import { POLICY_GROUPS, policyChoice } from "../policies";
import { engine } from "../state/model";
import { canRerunCompressed, rerunCompressed, runBoth, running, status, stop } from "../state/run";
import { BUDGETS, budgetRatio, maxTokens, order, policy, type RunOrder, seed, temperature } from "../state/settings";
import { ColdControls } from "./cold-controls";
import { promptTokens } from "./composer";
import { NumberField } from "./fields";

export function Controls() {
  return (
    <section class="controls" aria-label="Settings">
      <PolicyMenu />
      <BudgetSlider />
      <ColdControls />
      <div class="grid-fields">
        <NumberField label="New tokens" value={maxTokens.value} min={1} max={1024} step={1} onChange={(value) => (maxTokens.value = value)} />
        <NumberField label="Temperature" value={temperature.value} min={0} max={2} step={0.1} onChange={(value) => (temperature.value = value)} />
        <NumberField
          label="Seed"
          value={seed.value}
          min={0}
          max={2 ** 31 - 1}
          step={1}
          disabled={temperature.value === 0}
          onChange={(value) => (seed.value = value)}
        />
      </div>
      <fieldset class="radio">
        <legend>Panes run</legend>
        {(["in turn", "together"] as const).map((value) => (
          <label key={value}>
            <input type="radio" name="order" checked={order.value === value} onChange={() => (order.value = value satisfies RunOrder)} /> {value}
          </label>
        ))}
        {order.value === "together" && <p class="muted">They share one GPU: speeds are then not comparable.</p>}
      </fieldset>
      <RunBar />
    </section>
  );
}

function PolicyMenu() {
  const choice = policyChoice(policy.value);
  return (
    <div class="field">
      <label for="policy">Compressed cache</label>
      <select
        id="policy"
        value={choice.name}
        aria-describedby="policy-note"
        onChange={({ currentTarget: { value } }) => value !== "custom" && (policy.value = value as PresetName)}
      >
        {choice.name === "custom" && <option value="custom">Custom</option>}
        {POLICY_GROUPS.map(({ title, names }) => (
          <optgroup key={title} label={title}>
            {names.map((name) => (
              <option key={name} value={name}>
                {policyChoice(name).title}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
      <p class="muted" id="policy-note">
        {choice.sentence} {choice.source && <cite class="source">{choice.source}</cite>}
      </p>
    </div>
  );
}

function BudgetSlider() {
  const { budgeted } = policyChoice(policy.value);
  const at = BUDGETS.indexOf(budgetRatio.value as (typeof BUDGETS)[number]);
  const text = budgeted ? `${formatPercent(budgetRatio.value)} of 16 bits` : "set by the policy";
  return (
    <div class="field">
      <label for="budget">
        Budget <output class="figures">{text}</output>
      </label>
      <input
        id="budget"
        type="range"
        min={0}
        max={BUDGETS.length - 1}
        step={1}
        value={at < 0 ? 0 : at}
        disabled={!budgeted}
        aria-valuetext={text}
        aria-describedby="budget-note"
        onInput={(event) => (budgetRatio.value = BUDGETS[Number(event.currentTarget.value)] ?? 1)}
      />
      <p class="muted figures" id="budget-note">
        {budgeted ? budgetNote() : "Only policies that drop tokens or choose bits take one."}
      </p>
    </div>
  );
}

/** Arithmetic on the prompt, not a measurement: what the slider asks for. */
function budgetNote(): string {
  const model = engine.value?.info.model;
  const tokens = promptTokens.value;
  if (!model || tokens === undefined) return "In bytes as soon as a model is loaded.";
  const full = tokens * model.layers * model.kvHeads * model.headSize * 2 * 2;
  return `${formatMemory(full * budgetRatio.value)} of the ${formatMemory(full)} that these ${formatCount(tokens)} tokens take in 16 bits.`;
}

function RunBar() {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && running.value) stop();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
  const isRunning = running.value !== undefined;
  return (
    <div class="run-bar">
      {isRunning ? (
        <button type="button" class="primary stop" id="stop" onClick={stop}>
          Stop <kbd>Esc</kbd>
        </button>
      ) : (
        <button type="button" class="primary" id="run" disabled={!engine.value} onClick={() => void runBoth()}>
          Run both
        </button>
      )}
      <button
        type="button"
        disabled={!canRerunCompressed.value}
        onClick={() => void rerunCompressed()}
        title="Keeps pane A and the prompt it had; runs pane B with these settings"
      >
        Only B again
      </button>
      <p role="status" aria-live="polite" class="status" id="status">
        {status.value || (engine.value ? "Ready" : "Waiting for a model")}
      </p>
    </div>
  );
}

// four-choices: a policy of one's own out of score, budget, bits and schedule. Shows what the chosen preset is made of; the first change makes it custom.

import type { FormatName } from "../../src/engine-types";
import {
  BUDGET_KINDS,
  BUDGET_NUMBERS,
  BUDGETS,
  FORMAT_NAMES,
  FORMATS,
  PRECISION_KINDS,
  PRECISIONS,
  SCHEDULE_KINDS,
  SCHEDULES,
  SCORE_NAMES,
  SCORES,
} from "../choices";
import { policyChoice } from "../policies";
import {
  type Composed,
  composed,
  formatsOf,
  withBudget,
  withBudgetNumber,
  withFormats,
  withHeads,
  withPrecision,
  withRing,
  withSchedule,
  withScore,
  withTable,
} from "../state/compose";
import { policy } from "../state/settings";
import { OptionalNumberField, SelectField } from "./fields";

interface PartProps {
  readonly spec: Composed;
  /** Nothing is scored: the choice has no effect. */
  readonly idle: boolean;
  readonly change: (spec: Composed) => void;
}

export function FourChoices() {
  const spec = composed(policy.value);
  const change = (next: Composed): void => void (policy.value = next);
  const part = { spec, idle: !policyChoice(spec).budgeted, change };
  return (
    <details class="four-choices" id="compose">
      <summary>Compose your own</summary>
      <div class="four-choices-body">
        {policy.value === "auto" && <p class="muted all-columns">This is what Automatic does to a short context.</p>}
        <ScorePart {...part} />
        <BudgetPart {...part} />
        <BitsPart {...part} />
        <SchedulePart {...part} />
        <p class="muted all-columns">
          For the command line's <code>--policy</code>, or the engine's <code>policy</code>: <code class="spec">{JSON.stringify(spec)}</code>
        </p>
      </div>
    </details>
  );
}

function ScorePart({ spec, idle, change }: PartProps) {
  const { kind, ...settings } = spec.score;
  const set = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  return (
    <SelectField
      id="compose-score"
      label="Score"
      value={kind}
      options={SCORE_NAMES.map((name) => [name, SCORES[name].title])}
      disabled={idle}
      note={`${SCORES[kind].sentence}${set.length > 0 ? ` Set here: ${set.join(", ")}.` : ""}`}
      onChange={(name) => change(withScore(spec, name))}
    />
  );
}

function BudgetPart({ spec, idle, change }: PartProps) {
  const { kind, heads } = spec.budget;
  const { sentence, numbers } = BUDGETS[kind];
  return (
    <div class="choice">
      <SelectField
        id="compose-budget"
        label="Budget"
        value={kind}
        options={BUDGET_KINDS.map((name) => [name, BUDGETS[name].title])}
        disabled={idle}
        note={sentence}
        onChange={(name) => change(withBudget(spec, name))}
      />
      {kind === "table" && <TableField spec={spec} idle={idle} change={change} />}
      <div class="pair-fields">
        <SelectField
          id="compose-heads"
          label="Heads of a layer"
          value={heads}
          options={[
            ["uniform", "get the same"],
            ["ada", "compete"],
          ]}
          disabled={idle}
          onChange={(value) => change(withHeads(spec, value))}
        />
        {numbers.map((name) => (
          <OptionalNumberField
            key={name}
            {...BUDGET_NUMBERS[name]}
            value={spec.budget[name]}
            disabled={idle}
            onChange={(value) => change(withBudgetNumber(spec, name, value))}
          />
        ))}
      </div>
    </div>
  );
}

function TableField({ spec, idle, change }: PartProps) {
  return (
    <label class="field">
      <span class="field-name">Parts by layer</span>
      <input
        type="text"
        value={spec.budget.table?.join(", ") ?? ""}
        placeholder="4, 2, 1, 1"
        disabled={idle}
        onChange={(event) => change(withTable(spec, event.currentTarget.value))}
      />
    </label>
  );
}

function BitsPart({ spec, change }: PartProps) {
  const { kind } = spec.precision;
  const { sentence, several } = PRECISIONS[kind];
  const chosen = formatsOf(spec);
  return (
    <div class="choice">
      <SelectField
        id="compose-precision"
        label="Bits"
        value={kind}
        options={PRECISION_KINDS.map((name) => [name, PRECISIONS[name].title])}
        note={sentence}
        onChange={(name) => change(withPrecision(spec, name))}
      />
      {several ? (
        <FormatBoxes chosen={chosen} onChange={(formats) => change(withFormats(spec, formats))} />
      ) : (
        <SelectField
          id="compose-format"
          label="Format"
          value={chosen[0] ?? "k16v16"}
          options={FORMAT_NAMES.map((name) => [name, `${name}: ${FORMATS[name]}`])}
          onChange={(name) => change(withFormats(spec, [name]))}
        />
      )}
    </div>
  );
}

function FormatBoxes({ chosen, onChange }: { chosen: readonly FormatName[]; onChange: (formats: readonly FormatName[]) => void }) {
  const toggle = (name: FormatName): void => onChange(FORMAT_NAMES.filter((other) => (other === name) !== chosen.includes(other)));
  return (
    <fieldset class="formats">
      <legend>Formats it may use</legend>
      {FORMAT_NAMES.map((name) => (
        <label key={name} title={FORMATS[name]}>
          <input type="checkbox" checked={chosen.includes(name)} onChange={() => toggle(name)} /> {name}
        </label>
      ))}
      {chosen.length === 0 && <p class="muted">None is ticked: the engine chooses.</p>}
    </fieldset>
  );
}

function SchedulePart({ spec, idle, change }: PartProps) {
  const { kind, tokens } = spec.schedule;
  return (
    <div class="choice">
      <SelectField
        id="compose-schedule"
        label="Schedule"
        value={kind}
        options={SCHEDULE_KINDS.map((name) => [name, SCHEDULES[name].title])}
        disabled={idle}
        note={SCHEDULES[kind].sentence}
        onChange={(name) => change(withSchedule(spec, name))}
      />
      <div class="pair-fields">
        {kind === "every" && (
          <OptionalNumberField
            label="Tokens between"
            value={tokens}
            min={1}
            max={4096}
            step={1}
            disabled={idle}
            onChange={(value) => change(withSchedule(spec, kind, value))}
          />
        )}
        <OptionalNumberField label="Ring, tokens" value={spec.ring} min={2} max={1024} step={1} onChange={(ring) => change(withRing(spec, ring))} />
      </div>
      <p class="muted">
        The ring holds the newest tokens, unjudged: in 8 bits where bits go by worth, else in 16. Left empty, it is 16 tokens long, or 8 by worth below a tenth
        of the bytes.
      </p>
    </div>
  );
}

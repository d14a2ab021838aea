// fields: labelled inputs as the settings use them.

import type { ComponentChildren } from "preact";

interface NumberFieldProps {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly disabled?: boolean;
  readonly onChange: (value: number) => void;
}

export function NumberField({ value, onChange, ...rest }: NumberFieldProps) {
  return <OptionalNumberField {...rest} value={value} onChange={(next) => next !== undefined && onChange(next)} required />;
}

type OptionalNumberFieldProps = Omit<NumberFieldProps, "value" | "onChange"> & {
  readonly value: number | undefined;
  /** An emptied field keeps its last number. */
  readonly required?: boolean;
  readonly onChange: (value: number | undefined) => void;
};

/** Empty: what the method itself says. */
export function OptionalNumberField({ label, value, min, max, step, disabled, required, onChange }: OptionalNumberFieldProps) {
  const change = (input: HTMLInputElement): void => {
    const next = Math.min(max, Math.max(min, Number(input.value)));
    if (input.value === "" && !required) onChange(undefined);
    else if (input.value !== "" && Number.isFinite(next)) onChange(step >= 1 ? Math.round(next) : next);
    input.value = String(value ?? "");
  };
  return (
    <label class="field">
      <span class="field-name">{label}</span>
      <input
        type="number"
        value={value ?? ""}
        min={min}
        max={max}
        step={step}
        placeholder={required ? undefined : "default"}
        disabled={disabled ?? false}
        onChange={(event) => change(event.currentTarget)}
      />
    </label>
  );
}

interface SelectFieldProps<Value extends string> {
  readonly id: string;
  readonly label: string;
  readonly value: Value;
  readonly options: readonly (readonly [Value, string])[];
  /** What the value means, below the menu. */
  readonly note?: ComponentChildren;
  readonly disabled?: boolean;
  readonly onChange: (value: Value) => void;
}

export function SelectField<Value extends string>({ id, label, value, options, note, disabled, onChange }: SelectFieldProps<Value>) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={value}
        disabled={disabled ?? false}
        aria-describedby={note ? `${id}-note` : undefined}
        onChange={(event) => onChange(event.currentTarget.value as Value)}
      >
        {options.map(([name, title]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      {note && (
        <p class="muted" id={`${id}-note`}>
          {note}
        </p>
      )}
    </div>
  );
}

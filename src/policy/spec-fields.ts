// spec-fields: the fields of a policy as a caller writes it, part by part. A misspelt one is refused, as what is ignored in silence looks like a choice
// that was made. Leaves to others: what a field may hold (policy.ts and the files it names), whether the choices go together.

import type { PolicySpec } from "../engine-types";
import { EngineError } from "../errors";
import { bad } from "./checks";

/** Stands for a field that holds no part of its own. */
const VALUE = "value";

/** Every field of a type by name, so that the compiler asks for the ones that are added later. */
type Fields<Part> = {
  readonly [Name in keyof Part]-?: NonNullable<Part[Name]> extends string | number | boolean | readonly unknown[]
    ? typeof VALUE
    : Fields<NonNullable<Part[Name]>>;
};
interface Known {
  readonly [name: string]: typeof VALUE | Known;
}

const FIELDS: Fields<PolicySpec> = {
  score: {
    kind: VALUE,
    futurePositions: VALUE,
    epsilon: VALUE,
    valueNorm: VALUE,
    window: VALUE,
    pool: VALUE,
    poolKind: VALUE,
    reduce: VALUE,
    decay: VALUE,
    distance: VALUE,
    block: VALUE,
    lambda: VALUE,
    gamma: VALUE,
    lag: VALUE,
    seed: VALUE,
  },
  budget: { kind: VALUE, heads: VALUE, safeguard: VALUE, beta: VALUE, table: VALUE, temperatures: VALUE, window: VALUE, slack: VALUE },
  precision: {
    kind: VALUE,
    format: VALUE,
    formats: VALUE,
    thresholds: VALUE,
    bits: VALUE,
    prune: { most: VALUE, sparsity: VALUE },
    quantizer: VALUE,
    deviations: VALUE,
    kappa: VALUE,
    power: VALUE,
    recency: VALUE,
    recencySpan: VALUE,
  },
  schedule: { kind: VALUE, tokens: VALUE },
  reevaluate: { every: VALUE, window: VALUE, decay: VALUE, rise: VALUE },
  propagate: { rate: VALUE, layer: VALUE, window: VALUE, pool: VALUE },
  read: { kind: VALUE, tokens: VALUE, chunk: VALUE, dense: VALUE, reselect: VALUE, turn: { window: VALUE, pool: VALUE } },
  ring: VALUE,
  sinks: VALUE,
  ringBits: VALUE,
  pinned: VALUE,
  markers: { count: VALUE, kind: VALUE },
  guests: VALUE,
  guestBits: VALUE,
};

/** Throws BAD_OPTION for a field that a policy or a part of it has not, and for a part that is no object. */
export function checkFields(spec: PolicySpec): void {
  checkPart("policy", spec, FIELDS);
}

function checkPart(part: string, given: object, known: Known): void {
  for (const [name, value] of Object.entries(given)) {
    const field = Object.hasOwn(known, name) ? known[name] : undefined;
    if (field === undefined) throw unknownField(part, name, Object.keys(known).join(", "));
    if (field === VALUE || value === undefined) continue;
    const path = part === "policy" ? name : `${part}.${name}`;
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(path, value, `an object with some of ${Object.keys(field).join(", ")}`);
    checkPart(path, value, field);
  }
}

function unknownField(part: string, found: string, expected: string): EngineError {
  return new EngineError("BAD_OPTION", `Option ${part} has no field ${found}. Allowed: ${expected}.`, { field: part, found, expected });
}

// checks: what an option may be, refused by name where it is not.

import { EngineError } from "../errors";

export function whole(field: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value)) throw bad(field, value, `a whole number from ${least} to ${most}`);
  return within(field, value, least, most);
}

export function within(field: string, value: number, least: number, most: number): number {
  if (!(value >= least && value <= most)) throw bad(field, value, `${least} to ${most}`);
  return value;
}

export function bad(field: string, found: unknown, expected: string): EngineError {
  return new EngineError("BAD_OPTION", `Option ${field} is ${JSON.stringify(found)}. Allowed: ${expected}.`, { field, found, expected });
}

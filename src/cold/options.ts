// options: what a request may say about its cold tier, with defaults filled in and everything checked once.

import type { ColdOptions, PolicySpec, PresetName } from "../engine-types";
import { EngineError } from "../errors";
import { hasScratchFiles } from "../load/scratch-file";
import { PRESETS } from "../policy/presets";
import type { RecallOptions } from "./recall";
import { BLOCK } from "./store";

export interface ColdSettings extends RecallOptions {
  readonly maxBytes: number;
  readonly store: "memory" | "opfs";
  /** Rows of a kv head for what is recalled; the budget pays for them. */
  readonly guests: number;
  /** Of a channel of such a row. */
  readonly bits: 8 | 4;
  readonly settle: boolean;
  readonly occurrences: boolean;
  readonly promote: boolean;
}

/** Three blocks: a sentence across two of their borders. */
const DEFAULTS = { guests: 3 * BLOCK, bits: 8, threshold: 0.5, halfLife: 8, settle: true, occurrences: true, promote: true } as const;

const MOST_GUESTS = 1024;

/** Throws BAD_OPTION, naming the field. `maxBytes` is checked against the model when the store is made. */
export function resolveCold({ maxBytes, store = "memory", recall = {} }: ColdOptions): ColdSettings {
  const { guests, bits, threshold, halfLife, settle, occurrences, promote } = { ...DEFAULTS, ...recall };
  const known = Object.keys(DEFAULTS);
  for (const field of Object.keys(recall)) if (!known.includes(field)) throw refuse(`recall.${field}`, "set", known.join(", "));
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1) throw refuse("maxBytes", maxBytes, "a whole number of bytes");
  if (store !== "memory" && store !== "opfs") throw refuse("store", store, "memory, opfs");
  if (store === "opfs" && !hasScratchFiles())
    throw refuse(
      "store",
      store,
      "memory here, as only a worker of a page on https or localhost has such files. Load the engine with loadInWorker(), or keep it in memory",
    );
  if (!(Number.isInteger(guests) && guests >= 0 && guests <= MOST_GUESTS && guests % BLOCK === 0))
    throw refuse("recall.guests", guests, `0 to ${MOST_GUESTS} in steps of ${BLOCK}; 0 keeps what is evicted and recalls nothing`);
  if (![8, 4].includes(bits)) throw refuse("recall.bits", bits, "8, 4");
  if (!(threshold > 0 && threshold <= 1e6)) throw refuse("recall.threshold", threshold, "above 0 (attention in heads)");
  if (!(halfLife > 0 && halfLife <= 1e9)) throw refuse("recall.halfLife", halfLife, "above 0, in tokens");
  if (typeof settle !== "boolean") throw refuse("recall.settle", settle, "true, false");
  if (typeof occurrences !== "boolean") throw refuse("recall.occurrences", occurrences, "true, false");
  if (typeof promote !== "boolean") throw refuse("recall.promote", promote, "true, false");
  return { maxBytes, store, guests, bits, threshold, halfLife, settle, occurrences, promote };
}

/** The policy with room for guests; what it says itself about them gives way. */
export function withGuests(policy: PresetName | PolicySpec, { guests, bits }: ColdSettings): PolicySpec {
  const spec: PolicySpec = typeof policy === "string" ? PRESETS[policy].spec : policy;
  return { ...spec, guests, guestBits: bits };
}

function refuse(field: string, found: unknown, allowed: string): EngineError {
  return new EngineError("BAD_OPTION", `Option cold.${field} is ${String(found)}. Allowed: ${allowed}.`, { field: `cold.${field}`, found });
}

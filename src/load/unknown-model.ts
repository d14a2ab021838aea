// unknown-model: what is said to a name that the catalogue has not, the same in a page and in Node.

import { type CatalogEntry, catalog } from "../../models/catalog";
import { EngineError } from "../errors";

export function unknownModel(name: string, entries: readonly CatalogEntry[] = catalog): EngineError {
  const known = entries.map((entry) => entry.name);
  return new EngineError("UNKNOWN_MODEL", `No model is called ${name}; known are ${known.join(", ")}. Choose one of them, or give a GGUF file.`, {
    found: name,
    expected: known,
  });
}

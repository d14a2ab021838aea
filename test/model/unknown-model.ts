// unknown-model: the tiny model as a file that nothing is known of, and how to tell whether an engine has a calibration.

import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { ToolEngine } from "../../src/engine";
import { TINY } from "./tiny-engine";

/** Another key in the header in the place of the model's name, and so another hash: no calibration is bundled for it. */
export const unknownModel = withText(new Uint8Array(readFileSync(TINY)), "general.name", "general.nome");

/** True if the engine has a calibration: a format is offered that needs one. */
export async function isCalibrated(engine: ToolEngine): Promise<boolean> {
  const policy = { precision: { kind: "uniform", format: "k2v2-klt" } } as const;
  const error = await engine.checkCaches([{ policy }], 64).catch((cause: unknown) => cause);
  if (error === undefined) return true;
  expect(error).toMatchObject({ code: "BAD_OPTION", message: expect.stringContaining("needs a calibration") });
  return false;
}

/** A copy of a file with a text in it replaced by another of the same length. */
export function withText(bytes: Uint8Array<ArrayBuffer>, found: string, replacement: string): Uint8Array<ArrayBuffer> {
  const at = Buffer.from(bytes.buffer).indexOf(found);
  if (at < 0 || found.length !== replacement.length) throw new Error(`there is no ${found} to replace`);
  const copy = bytes.slice();
  copy.set(new TextEncoder().encode(replacement), at);
  return copy;
}

// check: types, lint (zero warnings) and layering. Prints a verdict each; the exit code counts the failures.
// scripts/test.mjs begins with the same checks.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installDependencies } from "./install.mjs";
import { root } from "./machine.mjs";

/** Node programs with their arguments, relative to node_modules. @type {Record<string, string[]>} */
export const CHECKS = {
  types: ["typescript/bin/tsc", "--noEmit"],
  lint: ["@biomejs/biome/bin/biome", "check", "--error-on-warnings", "."],
  layering: ["vitest/vitest.mjs", "run", "--project", "unit", "test/unit/layering.test.ts"],
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  installDependencies();
  let failed = 0;
  for (const [name, [program = "", ...args]] of Object.entries(CHECKS)) {
    const { status } = spawnSync(process.execPath, [join(root, "node_modules", program), ...args], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    console.log(`${name}: ${status === 0 ? "ok" : "FAILED"}`);
    if (status !== 0) failed++;
  }
  process.exit(failed);
}

// calibrate-command: `npm run calibrate` of a file that nobody knows, and that a load of it in Node finds what was made.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { root, vulkanEnvironment } from "../../scripts/machine.mjs";
import { loadInNode } from "../../src/node/load-in-node";
import { isCalibrated, unknownModel } from "./unknown-model";

const folder = mkdtempSync(join(tmpdir(), "lacuna-calibrate-"));
const path = join(folder, "my.gguf");
writeFileSync(path, unknownModel);
const kept = join(root, "models/cache", `${createHash("sha256").update(unknownModel).digest("hex")}.calibration`);
rmSync(kept, { force: true }); // of an earlier run that was killed
afterAll(() => {
  rmSync(kept, { force: true });
  rmSync(folder, { recursive: true });
});

function run(file: string, ...args: string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ["scripts/run.mjs", file, ...args],
      { cwd: root, env: { ...process.env, ...vulkanEnvironment() } },
      (_, stdout, stderr) => resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

async function isCalibratedInNode(): Promise<boolean> {
  const engine = await loadInNode({ path });
  try {
    return await isCalibrated(engine);
  } finally {
    await engine.dispose();
  }
}

test("what it measures of a file is there at the next load of that file, under any name; --out goes where it says and nowhere else", async () => {
  expect(await isCalibratedInNode()).toBe(false);
  const out = join(folder, "new/mine.calibration");
  const elsewhere = await run("src/node/calibrate.ts", "--model", path, "--quick", "--out", out);
  expect(elsewhere).toMatchObject({ code: 0, stdout: `${out}\n` });
  expect(existsSync(kept)).toBe(false);
  const policy = '{"precision":{"kind":"uniform","format":"k2v2-klt"}}'; // needs a calibration
  const generate = (...more: string[]) => run("src/node/generate.ts", "--model", path, "--prompt", "Once", "--max-tokens", "2", "--policy", policy, ...more);
  expect((await generate()).stderr).toContain("BAD_OPTION: Format k2v2-klt needs a calibration");
  expect((await generate("--calibration", out)).code).toBe(0);
  expect((await generate("--calibration", "models/calibrations/tiny.calibration")).stderr).toMatch(/^HASH_MISMATCH: .*npm run calibrate/m);
  const { code, stdout, stderr } = await run("src/node/calibrate.ts", "--model", path, "--quick");
  expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: `${kept}\n` });
  expect(await isCalibratedInNode()).toBe(true);
}, 600_000);

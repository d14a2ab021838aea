// calibration-files: what Node keeps on disk comes back, goes, and says what was wrong. That loads use it: test/model/calibrate-command.test.ts.

import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { calibrations } from "../../models/calibrations/list";
import { root } from "../../scripts/machine.mjs";
import { isEngineError } from "../../src/errors";
import { calibrationPath, diskStore } from "../../src/node/calibration-files";

const SHA256 = "ab".repeat(32); // no model's
const folder = mkdtempSync(join(tmpdir(), "lacuna-kept-"));
const store = diskStore(join(folder, "new"));
const name = `${SHA256}.calibration`;

afterAll(() => rmSync(folder, { recursive: true }));

test("a file is found where one is bundled, else where it is kept", () => {
  for (const { model, path: bundled } of calibrations) expect(calibrationPath(model)).toBe(join(root, bundled));
  expect(calibrationPath(SHA256)).toBe(join(root, "models/cache", name));
});

test("what was put comes back whole, the newest, and nothing lies beside it; what is not there is none", async () => {
  expect(await store.get(SHA256)).toBeUndefined();
  await store.delete(SHA256);
  for (const bytes of [Uint8Array.of(1, 2, 3), Uint8Array.of(4)]) {
    await store.put(SHA256, bytes);
    expect(await store.get(SHA256)).toEqual(bytes);
  }
  expect(readdirSync(join(folder, "new"))).toEqual([name]);
  await store.delete(SHA256);
  expect(await store.get(SHA256)).toBeUndefined();
});

test("what the disk refuses is STORAGE, with the path, and leaves nothing behind", async () => {
  const path = join(folder, "new", name);
  mkdirSync(path, { recursive: true }); // a folder in the file's place
  for (const act of [() => store.get(SHA256), () => store.put(SHA256, Uint8Array.of(1)), () => store.delete(SHA256)]) {
    const error: unknown = await act().catch((cause: unknown) => cause);
    if (!isEngineError(error)) throw error;
    expect(error).toMatchObject({ code: "STORAGE", message: expect.stringContaining(path), details: { path } });
  }
  expect(readdirSync(join(folder, "new"))).toEqual([name]);
});

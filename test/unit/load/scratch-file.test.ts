// scratch-file: written and read at once, deleted with its end, found and deleted where a tab did not end it. The browser's own is tried in test/e2e.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hasScratchFiles, openScratchFile, sweepScratchFiles } from "../../../src/load/scratch-file";
import { type FakeOpfs, stubOpfs } from "./fake-opfs";

const codeOf = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("where there is storage", () => {
  let opfs: FakeOpfs;
  beforeEach(() => {
    opfs = stubOpfs();
  });
  afterEach(() => vi.unstubAllGlobals());

  test("what was written is read; its end gives everything back, twice is harmless", async () => {
    const file = await openScratchFile();
    const other = await openScratchFile();
    file.write(new Uint8Array([1, 2, 3, 4]), 0);
    file.write(new Uint8Array([9, 8]), 3);
    other.write(new Uint8Array([7]), 0);
    const into = new Uint8Array(3);
    file.read(into, 2);
    expect([[...into], file.bytes, other.bytes, opfs.files.size, opfs.locks.size]).toEqual([[3, 9, 8], 5, 1, 2, 2]);
    file.truncate(2);
    expect(file.bytes).toBe(2);
    expect(codeOf(() => file.read(into, 1))).toBe("STORAGE"); // it ends before
    const closed = file.close();
    expect([file.bytes, opfs.bytes]).toEqual([0, 1]); // at once
    await closed;
    await file.close();
    expect([opfs.files.size, opfs.locks.size, opfs.handles.size]).toEqual([1, 1, 1]);
    await other.close();
    expect([opfs.files.size, opfs.locks.size]).toEqual([0, 0]);
  });

  test("what a closed tab left is deleted, what is in use is not", async () => {
    const file = await openScratchFile();
    opfs.files.set("left behind", new Uint8Array(10));
    file.write(new Uint8Array(5), 0);
    await sweepScratchFiles();
    expect([opfs.files.size, opfs.bytes]).toEqual([1, 5]);
    opfs.handles.clear();
    await sweepScratchFiles(); // as while it is being opened: locked, and not open yet
    expect(opfs.files.size).toBe(1);
    opfs.locks.clear(); // as when its worker ends
    await sweepScratchFiles();
    expect(opfs.files.size).toBe(0);
  });

  test("refusals are STORAGE with what to do next, and leave nothing behind", async () => {
    opfs.fault.open = new DOMException("not now", "NoModificationAllowedError");
    await expect(openScratchFile()).rejects.toMatchObject({ code: "STORAGE", message: expect.stringContaining("keep it in memory") });
    expect([opfs.files.size, opfs.locks.size]).toEqual([0, 0]);
    opfs.fault = {};
    opfs.quota = 3;
    const file = await openScratchFile();
    file.write(new Uint8Array(3), 0);
    for (const throws of [true, false]) {
      opfs.throws = throws;
      const refused = {
        code: "STORAGE",
        message: expect.stringMatching(/QuotaExceededError.*free some space/),
        details: expect.objectContaining({ full: true }),
      };
      expect(() => file.write(new Uint8Array(1), 3)).toThrow(expect.objectContaining(refused));
    }
    await file.close();
  });
});

test("where there is none: said beforehand, and a typed error", async () => {
  expect(hasScratchFiles()).toBe(false);
  await sweepScratchFiles();
  await expect(openScratchFile()).rejects.toMatchObject({ code: "STORAGE" });
});

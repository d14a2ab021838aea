// find: where a calibration is looked for: beside the page, and in storage that may refuse. What a load makes of it: test/model/calibration-at-load.test.ts.

import { afterEach, describe, expect, test, vi } from "vitest";
import { type CalibrationStore, findCalibration, pageFiles } from "../../../src/calibrate/find";
import { EngineError } from "../../../src/errors";

const UNKNOWN = "ab".repeat(32);
const nothing = async (): Promise<undefined> => undefined;

afterEach(() => void vi.unstubAllGlobals());

describe("a file beside the page", () => {
  const read = pageFiles("https://example.org/app/");

  test("is read by its address", async () => {
    const fetched: string[] = [];
    vi.stubGlobal("fetch", async (url: URL) => {
      fetched.push(url.href);
      return new Response(Uint8Array.of(1, 2, 3), { headers: { "Content-Type": "application/octet-stream" } });
    });
    expect(await read("models/calibrations/x.calibration")).toEqual(Uint8Array.of(1, 2, 3));
    expect(fetched).toEqual(["https://example.org/app/models/calibrations/x.calibration"]);
  });

  test.each([
    ["not found", async () => new Response("", { status: 404 })],
    [
      "a server that answers every address with its page",
      async () => new Response("<!doctype html>", { headers: { "Content-Type": "text/html; charset=utf-8" } }),
    ],
    ["no server", async () => Promise.reject(new TypeError("Failed to fetch"))],
    ["a connection that breaks in the middle", async () => new Response(new ReadableStream({ start: (stream) => stream.error(new TypeError("reset")) }))],
  ])("is none with %s", async (_, answer) => {
    vi.stubGlobal("fetch", answer);
    expect(await read("models/calibrations/x.calibration")).toBeUndefined();
  });
});

describe("a kept one", () => {
  const denied = async (): Promise<never> => {
    throw new EngineError("STORAGE", "Storage is denied. Allow it.");
  };

  test("is none where storage refuses, and nothing is removed for that", async () => {
    const removed = vi.fn(async () => undefined);
    expect(await findCalibration(UNKNOWN, nothing, { get: denied, put: denied, delete: removed })).toBeUndefined();
    expect(removed).not.toHaveBeenCalled();
  });

  test("is none where it is damaged, also if it cannot be removed; faults of the engine's own are told", async () => {
    const damaged: CalibrationStore = { get: async () => Uint8Array.of(1, 2, 3), put: denied, delete: denied };
    expect(await findCalibration(UNKNOWN, nothing, damaged)).toBeUndefined();
    const faulty = async (): Promise<never> => {
      throw new TypeError("a fault");
    };
    await expect(findCalibration(UNKNOWN, nothing, { ...damaged, delete: faulty })).rejects.toThrow("a fault");
  });
});

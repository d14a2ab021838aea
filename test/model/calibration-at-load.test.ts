// calibration-at-load: which calibration a load goes on with: the caller's own, a bundled one, one kept by an earlier load, one measured now;
// and what is refused. The measuring itself: calibrate.test.ts.

import { readFileSync } from "node:fs";
import { expose } from "comlink";
import { afterEach, describe, expect, test, vi } from "vitest";
import { findModel } from "../../models/catalog";
import { calibrate } from "../../src/calibrate/calibrate";
import { decodeCalibration } from "../../src/calibrate/file";
import { type Environment, load, type ToolEngine } from "../../src/engine";
import type { LoadRequest } from "../../src/engine-types";
import { EngineError } from "../../src/errors";
import { blobSource } from "../../src/load/byte-source";
import { createHost } from "../../workers/engine-host";
import { loadOver } from "../../workers/remote-engine";
import { failureOf, loadTiny, TINY, tapGpu } from "./tiny-engine";
import { isCalibrated, unknownModel, withText } from "./unknown-model";

vi.mock("../../src/calibrate/calibrate", async (original) => {
  const real = await original<typeof import("../../src/calibrate/calibrate")>();
  return { ...real, calibrate: vi.fn(real.calibrate) };
});

const CALIBRATION = "models/calibrations/tiny.calibration";
const own = new Uint8Array(readFileSync(CALIBRATION));
const TINY_HASH = findModel("tiny")?.sha256 ?? "";

/** The same file of a model that there is not: the hash in its header begins with other digits. */
const others = withText(own, '"model":"7ee4a559', '"model":"00000000');
const older = own.slice();
older[8] = 0; // the version

const unknownFile = new File([unknownModel], "unknown.gguf");

const broken = [
  ["another model's", others, "HASH_MISMATCH"],
  ["one cut short", own.slice(0, 20_000), "TRUNCATED"],
  ["one of an older version", older, "NOT_CALIBRATION"],
  ["another kind of file", new TextEncoder().encode("GGUF, and much more of it"), "NOT_CALIBRATION"],
] as const;

afterEach(() => void vi.unstubAllGlobals());

/** What becomes of a load: whether the engine was calibrated, and in which phases it came to be. */
async function outcomeOf(loading: (request: Partial<LoadRequest>) => Promise<ToolEngine>) {
  const phases = new Set<string>();
  const engine = await loading({ onProgress: ({ phase }) => phases.add(phase) });
  try {
    return { calibrated: await isCalibrated(engine), measured: phases.has("calibrate") };
  } finally {
    await engine.dispose();
  }
}

describe("a file that the caller gives", () => {
  test.each([
    ["bytes", own],
    ["a Blob", new Blob([own])],
  ])("as %s is used", async (_, calibration) => {
    expect(await outcomeOf((request) => loadTiny(request))).toEqual({ calibrated: false, measured: false });
    expect(await outcomeOf((request) => loadTiny({ ...request, calibration }))).toEqual({ calibrated: true, measured: false });
  });

  test.each(broken)("is refused, with the reason: %s", async (_, calibration, code) => {
    expect((await failureOf(loadTiny({ calibration }))).code).toBe(code);
    expect((await failureOf(loadTiny({ calibration: new Blob([calibration]) }))).code).toBe(code);
  });

  test("of another model: both hashes are told, on the other side of a worker's boundary too", async () => {
    const expected = { found: expect.stringMatching(/^00000000[0-9a-f]{56}$/), expected: expect.stringMatching(/^7ee4a559/) };
    expect((await failureOf(loadTiny({ calibration: others }))).details).toMatchObject(expected);
    const { port1, port2 } = new MessageChannel();
    expose(
      createHost((received) => loadTiny(received)),
      port2,
    );
    const error = await failureOf(loadOver(port1, { model: "tiny", calibration: new Blob([others]) }));
    expect(error).toMatchObject({ code: "HASH_MISMATCH", message: expect.stringContaining("npm run calibrate"), details: expected });
    const engine = await loadOver(port1, { model: "tiny", calibration: own });
    await engine.dispose();
    port1.close();
  });

  test("is refused before anything is fetched or opened, as far as it can be", async () => {
    const touched = (): never => {
      throw new Error("touched");
    };
    const environment = { gpu: { requestAdapter: touched } as unknown as GPU, open: touched };
    expect((await failureOf(load({ model: "tiny", calibration: others }, environment))).code).toBe("HASH_MISMATCH");
    expect((await failureOf(load({ path: TINY, calibration: own.slice(0, 20_000) }, environment))).code).toBe("TRUNCATED");
    const error = await failureOf(load({ path: TINY, calibration: CALIBRATION as unknown as Blob }, environment));
    expect(error).toMatchObject({ code: "BAD_OPTION", details: { field: "calibration" } });
  });
});

describe("a bundled file", () => {
  const withBundled = (bytes: Uint8Array<ArrayBuffer> | undefined) => async (request: Partial<LoadRequest>) => {
    const { gpu } = await tapGpu();
    const open = async () => blobSource(new Blob([readFileSync(TINY)]));
    return load({ ...request, path: TINY }, { gpu, open, read: async () => bytes });
  };

  test("is used; where it cannot be had, or is not wanted, the model runs without", async () => {
    expect(await outcomeOf(withBundled(own))).toEqual({ calibrated: true, measured: false });
    expect(await outcomeOf(withBundled(undefined))).toEqual({ calibrated: false, measured: false });
    expect(await outcomeOf((request) => withBundled(own)({ ...request, calibration: false }))).toEqual({ calibrated: false, measured: false });
  });

  test.each(broken)("is an error where it is not what it should be: %s", async (_, bytes, code) => {
    expect((await failureOf(withBundled(bytes)({}))).code).toBe(code);
  });
});

describe("a model of which nothing is known, on hardware", () => {
  const onHardware =
    (environment: Partial<Environment> = {}) =>
    async (request: Partial<LoadRequest>) =>
      load({ ...request, file: unknownFile }, { gpu: (await tapGpu({}, { description: "hardware" })).gpu, ...environment });

  test("is measured at its first load in a page, and not again", async () => {
    const cache = stubPageCache();
    expect(await outcomeOf(onHardware())).toEqual({ calibrated: true, measured: true });
    expect([...cache.keys()].filter((name) => name.includes("calibration-"))).toHaveLength(2); // the file, and the note that it is whole
    expect(await outcomeOf(onHardware())).toEqual({ calibrated: true, measured: false });
  }, 600_000);

  test("is measured again where what was kept is of an older version, and what was found is used where storage has no room for it", async () => {
    // Measuring takes a quarter of a minute, and the first load above did it.
    vi.mocked(calibrate).mockImplementationOnce(async (_, { model, onProgress }) => {
      onProgress?.({ stage: "text", done: 1, total: 1 });
      return { ...decodeCalibration(own, TINY_HASH), model };
    });
    const refused: string[] = [];
    const store = {
      get: async () => older,
      put: async (sha256: string) => {
        refused.push(`put ${sha256.length}`);
        throw new EngineError("STORAGE", "The quota is full. Free some space.");
      },
      delete: async (sha256: string) => void refused.push(`delete ${sha256.length}`),
    };
    expect(await outcomeOf(onHardware({ store }))).toEqual({ calibrated: true, measured: true });
    expect(refused).toEqual(["delete 64", "put 64"]);
  });
});

/** The Cache API as a page without OPFS has it, in memory: bytes by address. */
function stubPageCache(): Map<string, Uint8Array> {
  const kept = new Map<string, Uint8Array>();
  const cache = {
    match: async (key: string) => (kept.has(key) ? new Response(kept.get(key) as Uint8Array<ArrayBuffer>) : undefined),
    put: async (key: string, response: Response) => void kept.set(key, new Uint8Array(await response.arrayBuffer())),
    delete: async (key: string) => kept.delete(key),
  };
  vi.stubGlobal("caches", { open: async () => cache });
  return kept;
}

// bad-input: what cannot be done ends in a typed error that says what was found, what was expected and what to do next; nothing leaks,
// and the engine answers as before. Bad files and downloads: test/unit/load, test/kernels/load.test.ts.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { catalog } from "../../models/catalog";
import { load } from "../../src/engine";
import type { CacheOptions, Engine, GenerateRequest, LoadRequest, MemoryReport, OpenRequest, PolicySpec, ScoreRequest } from "../../src/engine-types";
import type { EngineError } from "../../src/errors";
import { nodeGpu } from "../../src/node/open-gpu";
import { eventsOf, failureOf, goldenTexts, idsOf, loadTiny, type Tap, tapGpu } from "./tiny-engine";

const { short, long } = goldenTexts();
const prompt = { ids: short.ids };
const compressed: CacheOptions = { policy: "rate-distortion", budget: { ratio: 0.5 } };

/** As many tokens as a request of 300 has. */
const LONG_WINDOW: PolicySpec = { score: { kind: "attention-history" }, precision: { kind: "agacc" }, reevaluate: { every: 300, window: 300 } };

let tap: Tap;
let engine: Engine;
let idle: MemoryReport;
beforeAll(async () => {
  tap = await tapGpu();
  engine = await loadTiny({ context: 1024 }, tap.gpu);
  idle = await engine.memory();
});
afterAll(() => engine?.dispose());

async function expectUnharmed(): Promise<void> {
  expect(await engine.memory()).toEqual({ ...idle, peak: expect.any(Number) });
  expect(await idsOf(engine, { prompt, maxTokens: 8 })).toEqual(short.greedyIds.slice(0, 8));
}

/** The message is for people: what was found, and at its end an act. */
function expectLegible(error: EngineError, ...words: readonly (string | number)[]): void {
  for (const word of words) expect(error.message).toContain(String(word));
  expect(error.message, "a sentence that says what to do").toMatch(
    /[.:;] [^.]*\b(allowed|expected|give|pass|use|raise|shorten|load|correct|try|turn|report|get|remove|put|choose|close)\b[^.]*\.?/i,
  );
}

describe("options", () => {
  // What TypeScript would refuse comes from JavaScript, JSON and the command line.
  const cases: readonly (readonly [string, object])[] = [
    ["temperature", { temperature: -1 }],
    ["temperature", { temperature: Number.NaN }],
    ["topK", { topK: 1.5 }],
    ["topP", { topP: 1.1 }],
    ["minP", { minP: -0.1 }],
    ["repetitionPenalty", { repetitionPenalty: 0 }],
    ["seed", { seed: 2 ** 32 }],
    ["maxTokens", { maxTokens: 0 }],
    ["maxTokens", { maxTokens: "9" }],
    ["stop[1]", { stop: ["x", ""] }],
    ["stop", { stop: "x" }],
    ["from", { from: 0 }],
    ["from", { from: 65 }],
    ["from", { from: 1.5 }],
    ["prompt", { prompt: { ids: [] } }],
    ["prompt", { prompt: { text: "" } }],
    ["prompt", { prompt: { text: 5 } }],
    ["prompt", { prompt: { ids: "12" } }],
    ["prompt", { prompt: "hello" }],
    ["prompt", { prompt: undefined }],
    ["prompt", { prompt: {} }],
    ["prompt", { prompt: { ids: [1, 3072] } }],
    ["prompt", { prompt: { ids: [-1] } }],
    ["prompt", { prompt: { ids: [0.5] } }],
    ["messages", { prompt: { messages: [] } }],
    ["messages[0].role", { prompt: { messages: [{ role: "robot", content: "x" }] } }],
    ["messages[0].content", { prompt: { messages: [{ role: "user" }] } }],
    ["policy", { policy: "unheard-of" }],
    ["policy", { policy: {} }],
    ["policy", { policy: 7 }],
    ["budget", { policy: "rate-distortion" }],
    ["budget", { policy: "rate-distortion", budget: 0.5 }],
    ["budget", { policy: "rate-distortion", budget: {} }],
    ["budget.ratio", { policy: "rate-distortion", budget: { ratio: 0 } }],
    ["budget.ratio", { policy: "rate-distortion", budget: { ratio: 1.01 } }],
    ["budget.ratio", { policy: "rate-distortion", budget: { ratio: Number.NaN } }],
    ["budget.bytes", { policy: "rate-distortion", budget: { bytes: 0.5 } }],
    ["precision.kind", { policy: { precision: { kind: "guess" } } }],
    ["precision.formats", { policy: { precision: { kind: "uniform", format: "k3v3" } } }],
    ["precision.formats", { policy: { precision: { kind: "tiers", formats: [] } }, budget: { ratio: 0.5 } }],
    ["precision.thresholds", { policy: { precision: { kind: "tiers", formats: ["k2v2", "k4v4"], thresholds: [2, 1] } }, budget: { ratio: 0.5 } }],
    ["score.kind", { policy: { score: { kind: "coin" }, precision: { kind: "evict-only" } }, budget: { ratio: 0.5 } }],
    ["score.futurePositions", { policy: { score: { kind: "ensemble", futurePositions: 0 }, precision: { kind: "evict-only" } }, budget: { ratio: 0.5 } }],
    ["budget.kind", { policy: { budget: { kind: "mine" }, precision: { kind: "evict-only" } }, budget: { ratio: 0.5 } }],
    ["ring", { policy: { ring: 1, precision: { kind: "uniform" } } }],
    ["sinks", { policy: { sinks: 65, precision: { kind: "uniform" } } }],
    ["pinned", { policy: { pinned: [[9, 3]], precision: { kind: "uniform" } } }],
    ["pinned", { policy: { pinned: 3, precision: { kind: "uniform" } } }],
    ["reevaluate.window", { policy: LONG_WINDOW, budget: { ratio: 0.5 } }],
    ["cold.maxBytes", { ...compressed, cold: { maxBytes: 0.5 } }],
    ["cold.store", { ...compressed, cold: { maxBytes: 1 << 20, store: "cloud" } }],
    ["cold.recall.guests", { ...compressed, cold: { maxBytes: 1 << 20, recall: { guests: 5 } } }],
  ];

  test.for(cases)("%s: %o", async ([field, options]) => {
    const error = await failureOf(eventsOf(engine.generate({ prompt, maxTokens: 4, ...options } as GenerateRequest)));
    expect(error.code).toBe("BAD_OPTION");
    expect(error.details.field).toBe(field);
    expectLegible(error, field.replace(/^budget$/, "budget"));
    expect(await engine.memory()).toEqual({ ...idle, peak: expect.any(Number) });
  });

  test.for<[string, object]>([
    ["reevaluate.window", { policy: LONG_WINDOW, budget: { ratio: 0.5 }, tokens: 299 }],
    ["cold.maxBytes", { ...compressed, tokens: 299, cold: { maxBytes: 0.5 } }],
  ])("a session with %s of %o, which another would take", async ([field, options]) => {
    const error = await failureOf(engine.open(options as OpenRequest));
    expect(error).toMatchObject({ code: "BAD_OPTION", details: { field } });
    expectLegible(error, field);
    expect(await engine.memory()).toEqual({ ...idle, peak: expect.any(Number) });
    await (await engine.open({ ...(options as OpenRequest), tokens: 300, cold: { maxBytes: 1 << 20 } })).dispose();
    await expectUnharmed();
  });

  test.for([{ from: 0 }, { from: 64 }, { from: undefined }, { policy: "unheard-of", from: 3 }])("a score of %o", async (options) => {
    const error = await failureOf(eventsOf(engine.score({ prompt, ...options } as ScoreRequest)));
    expect(error.code).toBe("BAD_OPTION");
    await expectUnharmed();
  });

  test.for([0, 1, -5, 1.5, Number.NaN, "80"])("a context of %s", async (context) => {
    const error = await failureOf(loadTiny({ context } as Partial<LoadRequest>));
    expect(error).toMatchObject({ code: "BAD_OPTION", details: { field: "context" } });
    expectLegible(error, "context", String(context));
  });
});

describe("sizes", () => {
  test("a prompt longer than the context", async () => {
    for (const length of [1024, 1500]) {
      const ids = Array.from({ length }, (_, index) => long.ids[index % 512] ?? 0);
      const error = await failureOf(eventsOf(engine.generate({ prompt: { ids } })));
      expect(error).toMatchObject({ code: "CONTEXT_FULL", details: { found: length, expected: 1023 } });
      expectLegible(error, length, 1024);
    }
    await expectUnharmed();
  });

  test("a budget below sinks, ring and one page per head says how much is needed, and that is enough", async () => {
    for (const policy of ["rate-distortion", "expected-attention"] as const) {
      const run = (bytes: number): Promise<unknown> => eventsOf(engine.generate({ prompt, maxTokens: 20, policy, budget: { bytes } }));
      const error = await failureOf(run(16_000));
      expect(error).toMatchObject({ code: "BUDGET_TOO_SMALL", details: { found: 16_000, expected: expect.any(Number) } });
      const { expected } = error.details as { expected: number };
      expectLegible(error, 16_000, expected);
      expect((await failureOf(run(expected - 1))).code).toBe("BUDGET_TOO_SMALL");
      await run(expected);
    }
    await expectUnharmed();
  });

  test("more pinned tokens than the budget has room for", async () => {
    const policy: PolicySpec = { precision: { kind: "evict-only" }, pinned: [[0, 400]] };
    const error = await failureOf(eventsOf(engine.generate({ prompt: { ids: long.ids }, maxTokens: 20, policy, budget: { ratio: 0.3 } })));
    expect(error).toMatchObject({ code: "BUDGET_TOO_SMALL", details: { found: expect.any(Number), expected: expect.any(Number) } });
    expectLegible(error, "400 pinned");
    await expectUnharmed();
  });

  test("a cache beyond what the adapter's buffers can hold, told before anything is made", async () => {
    const small = await tapGpu({ maxBufferSize: 1 << 20 });
    const limited = await loadTiny({}, small.gpu);
    const before = await limited.memory();
    const error = await failureOf(
      eventsOf(limited.generate({ prompt, maxTokens: 64, policy: { ring: 1024, precision: { kind: "uniform", format: "k16v16" } } })),
    );
    expect(error.code).toBe("OUT_OF_MEMORY");
    expectLegible(error);
    expect(await limited.memory()).toEqual({ ...before, peak: expect.any(Number) });
    expect(await idsOf(limited, { prompt, maxTokens: 8 })).toEqual(short.greedyIds.slice(0, 8));
    await limited.dispose();
  });
});

describe("models", () => {
  test("an unknown name", async () => {
    const error = await failureOf(load({ model: "unheard-of" }, { gpu: await nodeGpu() }));
    expect(error).toMatchObject({ code: "UNKNOWN_MODEL", details: { found: "unheard-of", expected: catalog.map(({ name }) => name) } });
    expectLegible(error, "unheard-of", ...catalog.map(({ name }) => name));
  });

  test("a path in a page", async () => {
    expect((await failureOf(load({ path: "x.gguf" }, { gpu: await nodeGpu() }))).code).toBe("BAD_OPTION");
  });

  test("a file that is no model, and one that lacks its end", async () => {
    const { readFile } = await import("node:fs/promises");
    const bytes = await readFile("models/tiny/tiny-q8_0.gguf");
    for (const [code, blob] of [
      ["NOT_GGUF", new Blob(["# a page of text, and nothing of a model"])],
      ["TRUNCATED", new Blob([bytes.subarray(0, bytes.length - 100_000)])],
    ] as const) {
      const failing = await tapGpu();
      const error = await failureOf(load({ file: new File([blob], "model.gguf") }, { gpu: failing.gpu }));
      expect(error.code).toBe(code);
      expectLegible(error, "model.gguf");
      expect((await failing.device().lost).reason).toBe("destroyed");
    }
  });
});

describe("adapters", () => {
  test("no WebGPU", async () => {
    const error = await failureOf(load({ model: "tiny" }, {}));
    expect(error.code).toBe("NO_WEBGPU");
    expectLegible(error, "WebGPU");
  });

  test("WebGPU without an adapter", async () => {
    const error = await failureOf(load({ model: "tiny" }, { gpu: { requestAdapter: async () => null } as unknown as GPU }));
    expect(error.code).toBe("NO_ADAPTER");
    expectLegible(error, "adapter");
  });

  test.for(["maxStorageBuffersPerShaderStage", "maxComputeWorkgroupStorageSize", "maxComputeInvocationsPerWorkgroup", "maxStorageBufferBindingSize"] as const)(
    "an adapter below the default limits: %s",
    async (limit) => {
      const error = await failureOf(loadTiny({}, (await tapGpu({ [limit]: 7 })).gpu));
      expect(error).toMatchObject({ code: "ADAPTER_LIMITS", details: { limit, found: 7, expected: expect.any(Number) } });
      expectLegible(error, limit, 7);
    },
  );

  test("an adapter that gives no device", async () => {
    const { gpu } = await tapGpu();
    const adapter = await gpu.requestAdapter();
    const refusing = {
      features: adapter?.features,
      limits: adapter?.limits,
      info: adapter?.info,
      requestDevice: async () => Promise.reject(new DOMException("no device today", "OperationError")),
    };
    const error = await failureOf(loadTiny({}, { requestAdapter: async () => refusing } as unknown as GPU));
    expect(error.code).toBe("NO_ADAPTER");
    expectLegible(error, "no device today");
  });
});

describe("the GPU fails", () => {
  test.for(["Weights.blk.0.attn_norm", "Weights.output_norm", "Weights.blk.3.ffn_down"])(
    "NaN in the weights %s: BAD_LOGITS, until they are whole again",
    async (label) => {
      const buffer = tap.buffer(label);
      const device = tap.device();
      const saved = device.createBuffer({ label: "Test.saved", size: buffer.size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
      copy(device, buffer, saved);
      device.queue.writeBuffer(buffer, 0, new Uint32Array(buffer.size / 4).fill(0x7fc07fc0)); // NaN in f32, and twice in f16
      const error = await failureOf(eventsOf(engine.generate({ prompt, maxTokens: 8 })));
      expect(error.code).toBe("BAD_LOGITS");
      expectLegible(error, "NaN");
      expect((await failureOf(eventsOf(engine.score({ ...compressed, budget: { ratio: 1 }, prompt, from: 40 })))).code).toBe("BAD_LOGITS");
      copy(device, saved, buffer);
      saved.destroy();
      await expectUnharmed();
    },
  );

  test("an invalid command while a request runs ends it, not the engine", async () => {
    for (const point of ["prefill", "tokens"]) {
      const run = (async () => {
        const onProgress = ({ done }: { done: number }): void => void (point === "prefill" && done > 100 && invalid(tap.device()));
        for await (const event of engine.generate({ prompt, maxTokens: 40, onProgress }))
          if (event.kind === point && event.kind === "tokens" && event.count === 2) invalid(tap.device());
      })();
      const error = await failureOf(run);
      expect(error.code).toBe("INTERNAL");
      expectLegible(error, "Test.small");
      await expectUnharmed();
    }
  });

  test("an invalid command between requests concerns none of them", async () => {
    invalid(tap.device());
    await expectUnharmed();
  });

  test("memory that the GPU does not have, told late", async () => {
    const run = (async () => {
      for await (const event of engine.generate({ prompt, maxTokens: 40 }))
        if (event.kind === "prefilled")
          tap.device().dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error: new GPUOutOfMemoryError("64 bytes too many") }));
    })();
    const error = await failureOf(run);
    expect(error.code).toBe("OUT_OF_MEMORY");
    expectLegible(error, "64 bytes too many");
    await expectUnharmed();
  });

  test.for(["prefill", "prefilled", "tokens", "score"] as const)("a device lost (%s): DEVICE_LOST now and later; loading again works", async (point) => {
    const doomed = await tapGpu();
    const lost = await loadTiny({ context: 1024 }, doomed.gpu);
    const run = (async () => {
      if (point === "score") {
        for await (const _ of lost.score({ prompt: { ids: long.ids }, from: 400 })) doomed.device().destroy();
        return;
      }
      const onProgress = ({ done }: { done: number }): void => void (point === "prefill" && done > 500 && doomed.device().destroy());
      for await (const event of lost.generate({ ...compressed, prompt: { ids: long.ids }, maxTokens: 50, onProgress }))
        if (event.kind === point) doomed.device().destroy();
    })();
    const error = await failureOf(run);
    expect(error.code).toBe("DEVICE_LOST");
    expectLegible(error, "lost");
    expect((await failureOf(eventsOf(lost.generate({ prompt })))).code).toBe("DEVICE_LOST");
    await lost.dispose();
    const again = await loadTiny({ context: 1024 });
    expect(await idsOf(again, { prompt, maxTokens: 8 })).toEqual(short.greedyIds.slice(0, 8));
    await again.dispose();
  });

  test("a device lost while loading", async () => {
    const doomed = await tapGpu();
    const error = await failureOf(loadTiny({ onProgress: ({ phase }) => phase === "upload" && doomed.device().destroy() }, doomed.gpu));
    expect(error.code).toBe("DEVICE_LOST");
    await expectUnharmed();
  });
});

function copy(device: GPUDevice, from: GPUBuffer, to: GPUBuffer): void {
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(from, 0, to, 0, from.size);
  device.queue.submit([encoder.finish()]);
}

/** Copies past the end of a buffer. */
function invalid(device: GPUDevice): void {
  const small = device.createBuffer({ label: "Test.small", size: 16, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(small, 0, small, 8, 16);
  device.queue.submit([encoder.finish()]);
  small.destroy();
}

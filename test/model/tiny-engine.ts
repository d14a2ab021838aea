// tiny-engine: the real engine on the bundled model for the tests of this folder, and a tap on the device that lies under it.

import { readFileSync } from "node:fs";
import { load, type ToolEngine } from "../../src/engine";
import type {
  Engine,
  FinishReason,
  GenerateEvent,
  GenerateRequest,
  GenerateResult,
  LoadRequest,
  ScoreRequest,
  ScoreResult,
  SendRequest,
  Session,
} from "../../src/engine-types";
import { type EngineError, isEngineError } from "../../src/errors";
import type { Gpu } from "../../src/gpu/device";
import { loadModel } from "../../src/load/load-model";
import { Transformer } from "../../src/model/transformer";
import { fileSource } from "../../src/node/file-source";
import { nodeGpu } from "../../src/node/open-gpu";
import { testGpu } from "../kernels/gpu";
import { type GoldenText, readGolden } from "./golden";

export const TINY = "models/tiny/tiny-q8_0.gguf";

/** The two texts of the golden file: 64 and 512 tokens. */
export function goldenTexts(): { readonly short: GoldenText; readonly long: GoldenText } {
  const [short, long] = readGolden(JSON.parse(readFileSync("test/golden/logits-tiny.json", "utf8"))).texts;
  if (!short || !long) throw new Error("test/golden/logits-tiny.json holds fewer than two texts");
  return { short, long };
}

/** What a test may lay hands on below the engine: the device and its buffers by label. */
export interface Tap {
  readonly gpu: GPU;
  device(): GPUDevice;
  buffer(label: string): GPUBuffer;
}

/** The machine's GPU; the device opened last through it and the buffers made on it can be had. `limits` replaces what adapter and device claim, `info` what the adapter says of itself. */
export async function tapGpu(limits: Partial<Record<keyof GPUSupportedLimits, number>> = {}, info?: Partial<GPUAdapterInfo>): Promise<Tap> {
  const gpu = await nodeGpu();
  const buffers = new Map<string, GPUBuffer>();
  let device: GPUDevice | undefined;
  const requestAdapter = async (options?: GPURequestAdapterOptions): Promise<GPUAdapter | null> => {
    const adapter = await gpu.requestAdapter(options);
    if (!adapter) return null;
    const requestDevice = async (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> => {
      const opened = await adapter.requestDevice(descriptor);
      const create = opened.createBuffer.bind(opened);
      opened.createBuffer = (wanted) => {
        const buffer = create(wanted);
        buffers.set(wanted.label ?? "", buffer);
        return buffer;
      };
      device = opened;
      return withOverrides(opened, { limits: withOverrides(opened.limits, limits) });
    };
    return withOverrides(adapter, { requestDevice, limits: withOverrides(adapter.limits, limits), ...(info && { info }) });
  };
  return {
    gpu: withOverrides(gpu, { requestAdapter }),
    device: () => present(device, "a device"),
    buffer: (label) => present(buffers.get(label), `a buffer ${label} among ${[...buffers.keys()].join(", ")}`),
  };
}

export async function loadTiny(request: Partial<LoadRequest> = {}, gpu?: GPU): Promise<ToolEngine> {
  return load({ ...request, path: TINY }, { gpu: gpu ?? (await nodeGpu()), open: () => fileSource(TINY) });
}

/** The model below the engine, prepared for so many tokens. The device is the caller's to dispose. */
export async function openTransformer(tokens: number, file = TINY): Promise<{ readonly gpu: Gpu; readonly transformer: Transformer }> {
  const gpu = await testGpu();
  const source = await fileSource(file);
  const { config, weights } = await loadModel(gpu, source);
  await source.close?.();
  return { gpu, transformer: new Transformer(gpu, config, weights, tokens) };
}

export async function eventsOf<Event>(stream: AsyncIterable<Event>): Promise<Event[]> {
  const events: Event[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

export async function generateAll(engine: Engine, request: GenerateRequest): Promise<GenerateResult> {
  const events: GenerateEvent[] = await eventsOf(engine.generate(request));
  const done = events.at(-1);
  if (done?.kind !== "done") throw new Error(`the last event was ${done?.kind}`);
  return done.result;
}

export async function sendAll(session: Session, request: SendRequest): Promise<GenerateResult> {
  const done = (await eventsOf(session.send(request))).at(-1);
  if (done?.kind !== "done") throw new Error(`the last event was ${done?.kind}`);
  return done.result;
}

export async function scoreAll(engine: Engine, request: ScoreRequest): Promise<ScoreResult> {
  const done = (await eventsOf(engine.score(request))).at(-1);
  if (done?.kind !== "done") throw new Error(`the last event was ${done?.kind}`);
  return done.result;
}

export async function idsOf(engine: Engine, request: GenerateRequest): Promise<readonly number[]> {
  return (await generateAll(engine, request)).output.ids;
}

export async function endOf(engine: Engine, request: GenerateRequest): Promise<FinishReason> {
  return (await generateAll(engine, request)).output.finishReason;
}

/** The typed error a promise ends in; anything else fails the test. */
export async function failureOf(promise: Promise<unknown>): Promise<EngineError> {
  const error: unknown = await promise.then(
    (value) => new Error(`nothing failed; the result is ${JSON.stringify(value)?.slice(0, 200)}`),
    (cause: unknown) => cause,
  );
  if (isEngineError(error)) return error;
  throw error;
}

/** An object that answers as `target` does, but for some properties. Native objects refuse a prototype's getters called on another object. */
function withOverrides<T extends object>(target: T, overrides: Partial<Record<keyof T, unknown>>): T {
  return new Proxy(target, {
    get(object, key) {
      if (key in overrides) return overrides[key as keyof T];
      const value: unknown = Reflect.get(object, key, object);
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
}

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`there is no ${what}`);
  return value;
}

// engine: the table of contents. load() gets a model onto a GPU; the engine answers prompts on it, one request at a time or several.
// Leaves everything else to the folders it names.

import { findModel } from "../models/catalog";
import { createBases } from "./cache/bases";
import { type CalibrationSources, calibrationAtLoad, givenCalibration } from "./calibrate/at-load";
import { type CalibrationStore, pageFiles, pageStore, type ReadFile } from "./calibrate/find";
import type {
  CacheOptions,
  Engine,
  EngineInfo,
  GenerateEvent,
  GenerateRequest,
  LoadRequest,
  MemoryReport,
  ModelSource,
  OpenRequest,
  Prompt,
  ScoreEvent,
  ScoreRequest,
  Session,
} from "./engine-types";
import { EngineError, throwIfAborted } from "./errors";
import { generate } from "./generate/generate";
import { createRuntime, encodePrompt, type Runtime } from "./generate/runtime";
import { score } from "./generate/score";
import { type CacheScore, checkCaches, type ScoreManyRequest, scoreMany } from "./generate/score-many";
import { type LocalSession, openSession } from "./generate/session";
import { warmUp } from "./generate/warm-up";
import { type Gpu, openGpu } from "./gpu/device";
import { type ByteSource, blobSource, urlSource } from "./load/byte-source";
import { download, downloadRequest } from "./load/download";
import { type LoadedModel, loadModel } from "./load/load-model";
import { sweepScratchFiles } from "./load/scratch-file";
import { unknownModel } from "./load/unknown-model";
import { Transformer } from "./model/transformer";
import { detokenize } from "./text/text-stream";

/** What differs between a page and Node. */
export interface Environment {
  /** Default: navigator.gpu. */
  readonly gpu?: GPU;
  /** Opens sources a page cannot: paths, and catalogue names from disk. */
  readonly open?: (source: ModelSource, request: LoadRequest) => Promise<ByteSource>;
  /** Reads files of models/, by their path from the folder that holds it. Default: over HTTP, beside the page. */
  readonly read?: ReadFile;
  /** Keeps calibrations that were measured here. Default: the page's storage. */
  readonly store?: CalibrationStore;
}

/** An engine in the caller's own thread: has what tools need beyond the public interface. */
export interface ToolEngine extends Engine {
  /** Several policies beside the full cache, one pass over the prompt for all. */
  scoreMany(request: ScoreManyRequest): Promise<{ readonly full: CacheScore; readonly caches: readonly CacheScore[] }>;
  /** Throws what would keep caches for so many tokens from being made, with the index of the first such in `details.cache`. */
  checkCaches(caches: readonly CacheOptions[], tokens: number): Promise<void>;
}

/** Most positions prepared for unless a request asks for more. */
const DEFAULT_CONTEXT = 8192;

/**
 * Loads a model. Progress runs through download, verify, upload and compile. On failure or abort nothing stays on the GPU.
 * Throws NO_WEBGPU, NO_ADAPTER, ADAPTER_LIMITS, UNKNOWN_MODEL, what reading and uploading a GGUF throw, and what a calibration is refused with
 * (calibrate/at-load.ts).
 */
export async function load(request: LoadRequest, environment: Environment = {}): Promise<ToolEngine> {
  const started = performance.now();
  checkContext(request.context);
  const expected = expectedHash(request);
  const given = await givenCalibration(request.calibration, expected);
  void sweepScratchFiles();
  const gpu = await openGpu({ ...(environment.gpu ? { gpu: environment.gpu } : {}), ...(request.without ? { without: request.without } : {}) });
  let source: ByteSource | undefined;
  try {
    source = await openSource(request, environment);
    const name = "model" in request ? request.model : source.name;
    const model = await loadModel(gpu, source, {
      ...(request.onProgress ? { onProgress: request.onProgress } : {}),
      ...(request.signal ? { signal: request.signal } : {}),
      ...(request.context === undefined ? {} : { context: request.context }),
      ...(expected === undefined ? {} : { sha256: expected }),
      verify: true,
    });
    const transformer = new Transformer(gpu, model.config, model.weights, Math.min(request.context ?? DEFAULT_CONTEXT, model.config.context));
    await gpu.idle(); // weights that did not arrive are told here
    const runtime = createRuntime(transformer, model.tokenizer);
    const calibration = await calibrationAtLoad(runtime, model.sha256 ?? "", request, { given, ...(await calibrationSources(request, environment)) });
    if (calibration) transformer.codec = { calibration, bases: createBases(gpu, calibration) };
    await warmUp(transformer, (done, total) => request.onProgress?.({ phase: "compile", done, total }));
    throwIfAborted(request.signal);
    return new LocalEngine(gpu, model, runtime, name, performance.now() - started);
  } catch (error) {
    gpu.dispose();
    throw error;
  } finally {
    await source?.close?.();
  }
}

function checkContext(context: number | undefined): void {
  if (context === undefined || (Number.isInteger(context) && context >= 2)) return;
  throw new EngineError("BAD_OPTION", `Option context is ${context}. Allowed: a whole number from 2, one position for the prompt and one for an answer.`, {
    field: "context",
    found: context,
  });
}

async function openSource(request: LoadRequest, environment: Environment): Promise<ByteSource> {
  if (environment.open && !("file" in request) && !("url" in request)) return environment.open(request, request);
  if ("file" in request) return blobSource(request.file);
  const options = request.signal ? { signal: request.signal } : {};
  if ("url" in request) return urlSource(request.url, options);
  if ("path" in request)
    throw new EngineError("BAD_OPTION", `A page cannot open the path ${request.path}. Pass a File, a URL or a catalogue name.`, { field: "path" });
  const entry = findModel(request.model);
  if (!entry) throw unknownModel(request.model);
  return download(downloadRequest(entry, request.base ?? globalThis.document?.baseURI ?? globalThis.location.href), {
    ...options,
    ...(request.onProgress ? { onProgress: request.onProgress } : {}),
  });
}

/** SHA-256 that the model's file must have; undefined where it may be any file. */
function expectedHash(request: LoadRequest): string | undefined {
  if ("model" in request) return findModel(request.model)?.sha256;
  return "url" in request ? request.sha256 : undefined;
}

async function calibrationSources({ base }: LoadRequest, { read, store }: Environment): Promise<Omit<CalibrationSources, "given">> {
  const beside: string | undefined = base ?? globalThis.document?.baseURI ?? globalThis.location?.href;
  return { read: read ?? (beside === undefined ? async () => undefined : pageFiles(beside)), store: store ?? (await pageStore()) };
}

/** The engine in the thread that loaded it. */
class LocalEngine implements ToolEngine {
  readonly info: EngineInfo;
  #disposed = false;
  #running = 0;
  readonly #sessions = new Set<LocalSession>();

  constructor(
    private readonly gpu: Gpu,
    private readonly model: LoadedModel,
    private readonly runtime: Runtime,
    name: string,
    loadMs: number,
  ) {
    const { config } = model;
    const { transformer } = runtime;
    this.info = {
      model: {
        name,
        architecture: config.architecture,
        sha256: model.sha256 ?? "",
        layers: config.layers,
        kvHeads: config.kvHeads,
        headSize: config.headSize,
        context: transformer.context,
        bytes: model.bytes,
      },
      adapter: {
        description: gpu.description,
        features: [
          ...(gpu.features.f16 ? ["shader-f16"] : []),
          ...(gpu.features.subgroups ? ["subgroups"] : []),
          ...(gpu.features.timestamps ? ["timestamp-query"] : []),
        ],
        software: gpu.software,
      },
      loadMs,
    };
  }

  async *generate(request: GenerateRequest): AsyncIterable<GenerateEvent> {
    yield* this.#run(() => generate(this.runtime, request));
  }

  async *score(request: ScoreRequest): AsyncIterable<ScoreEvent> {
    yield* this.#run(() => score(this.runtime, request));
  }

  async scoreMany(request: ScoreManyRequest): ReturnType<ToolEngine["scoreMany"]> {
    this.#check();
    if (this.#running++ === 0) this.gpu.ledger.resetPeak();
    try {
      return await scoreMany(this.runtime, request);
    } finally {
      this.#running--;
    }
  }

  async checkCaches(caches: readonly CacheOptions[], tokens: number): Promise<void> {
    this.#check();
    checkCaches(this.runtime.transformer, caches, tokens);
  }

  async open(request: OpenRequest): Promise<Session> {
    this.#check();
    const host = {
      check: () => this.#check(),
      run: <Event>(start: () => AsyncGenerator<Event>) => this.#run(start),
      opened: (session: LocalSession) => void this.#sessions.add(session),
      ended: (session: LocalSession) => void this.#sessions.delete(session),
    };
    return openSession(this.runtime, host, request);
  }

  async tokenize(prompt: Prompt): Promise<number[]> {
    this.#check();
    return encodePrompt(this.runtime, prompt);
  }

  async detokenize(ids: readonly number[]): Promise<string[]> {
    this.#check();
    return detokenize(this.runtime.tokenizer, ids);
  }

  async memory(): Promise<MemoryReport> {
    this.#check();
    const { ledger } = this.gpu;
    const [weights = 0, kv = 0, scratch = 0, staging = 0, readback = 0] = (["weights", "kv", "scratch", "staging", "readback"] as const).map((role) =>
      ledger.bytes({ role }),
    );
    return { weights, kv, scratch, staging, readback, total: ledger.bytes(), peak: ledger.peak };
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    const closed = [...this.#sessions].map((session) => session.dispose());
    this.runtime.transformer.dispose();
    this.model.dispose();
    this.gpu.dispose();
    await Promise.all(closed);
  }

  async *#run<Event>(start: () => AsyncGenerator<Event>): AsyncGenerator<Event, void, undefined> {
    this.#check();
    if (this.#running++ === 0) this.gpu.ledger.resetPeak(); // requests side by side share their peak
    try {
      yield* start();
    } finally {
      this.#running--;
    }
  }

  #check(): void {
    if (this.#running === 0) this.gpu.clearFault(); // it concerned requests that have ended
    if (this.#disposed) throw new EngineError("DISPOSED", "The engine was disposed. Load it again.");
    this.gpu.check();
  }
}

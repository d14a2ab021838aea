// device: opens a GPUDevice and says what it can do. Owns the byte ledger and the count of objects created.
// Leaves to others: shaders (kernel.ts), command recording (recorder.ts).

import { EngineError } from "../errors";
import { KernelCache } from "./kernel";
import { type BufferRole, Ledger } from "./ledger";
import { type Counters, Recorder } from "./recorder";

export interface GpuFeatures {
  readonly f16: boolean;
  readonly subgroups: boolean;
  readonly timestamps: boolean;
}

export interface OpenOptions {
  /** Where requestAdapter lives: navigator.gpu in a browser, Dawn's `create()` in Node. */
  readonly gpu?: GPU;
  /** Features not to use although the adapter has them; the tests run every path with it. */
  readonly without?: readonly ("shader-f16" | "subgroups")[];
}

/** What the engine cannot do without: WebGPU's guaranteed defaults. */
const NEEDED = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxStorageBufferBindingSize: 128 << 20,
} as const;

/** Limits raised to what the adapter offers: fewer shards of weights, fewer segments of pages. */
const RAISED = ["maxStorageBufferBindingSize", "maxBufferSize"] as const;

/** One open device, its features, limits, byte ledger and counters. */
export class Gpu {
  readonly ledger = new Ledger();
  readonly kernels = new KernelCache(this);
  readonly counters: Counters = { dispatches: 0, submits: 0 };
  readonly features: GpuFeatures;
  readonly limits: GPUSupportedLimits;
  /** Adapter name as the driver tells it, for reports. */
  readonly description: string;
  /** True on CPU adapters (SwiftShader, llvmpipe): kernels then avoid barriers and shared memory. */
  readonly software: boolean;
  /** GPU objects (buffers, bind groups, pipelines) created so far; a decoded token must not raise it. */
  objectsCreated = 0;
  #lost: EngineError | undefined;
  /** What the GPU reported of its own accord: an invalid command, or memory it did not have. What ran since may be garbage. */
  #fault: EngineError | undefined;
  #disposed = false;
  readonly #onLost = new Set<(error: EngineError) => void>();

  constructor(
    readonly device: GPUDevice,
    info: GPUAdapterInfo | undefined,
    without: readonly string[] = [],
  ) {
    const has = (name: string): boolean => device.features.has(name as GPUFeatureName) && !without.includes(name);
    this.features = { f16: has("shader-f16"), subgroups: has("subgroups"), timestamps: has("timestamp-query") };
    this.limits = device.limits;
    this.description = describeAdapter(info);
    this.software = isSoftware(info);
    void device.lost.then((lost) => {
      if (this.#disposed) return;
      this.#lost = new EngineError(
        "DEVICE_LOST",
        `The GPU device was lost (${lost.reason ?? "unknown"}: ${lost.message}). Load the engine again; the weights are in the local cache.`,
        {
          reason: lost.reason,
        },
      );
      for (const tell of this.#onLost) tell(this.#lost);
    });
    device.addEventListener("uncapturederror", ({ error }) => {
      this.#fault ??= faultError(error);
    });
  }

  /** Calls back once if the device is lost, at once if it already is. */
  onLost(tell: (error: EngineError) => void): void {
    if (this.#lost) tell(this.#lost);
    else this.#onLost.add(tell);
  }

  /** Throws if the device is gone, or if something submitted went wrong since the last clearFault(). */
  check(): void {
    if (this.#disposed) throw new EngineError("DISPOSED", "The engine was disposed. Load it again.");
    if (this.#lost) throw this.#lost;
    if (this.#fault) throw this.#fault;
  }

  /** Forgets a fault. Call it while no work is under way that could have suffered from it. */
  clearFault(): void {
    this.#fault = undefined;
  }

  /** Waits until everything submitted has run; throws what check() throws. */
  async idle(): Promise<void> {
    await this.device.queue.onSubmittedWorkDone().catch((cause: unknown) => this.#explain(cause));
    this.check();
  }

  /** Maps a readback buffer and copies its first `bytes` out. Throws what check() throws: nothing read after a fault counts. */
  async map(buffer: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    await buffer.mapAsync(GPUMapMode.READ, 0, bytes).catch((cause: unknown) => this.#explain(cause));
    const result = buffer.getMappedRange(0, bytes).slice(0);
    buffer.unmap();
    this.check();
    return result;
  }

  /** Turns a refused wait into what caused it. A lost device may be told only after the promises that it broke. */
  async #explain(cause: unknown): Promise<never> {
    this.check();
    await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, LOSS_TOLD_MS))]);
    this.check();
    throw new EngineError("INTERNAL", `The GPU did not finish its work: ${String(cause)}. Load the engine again; if it recurs, report it.`, {}, { cause });
  }

  /**
   * A buffer of `bytes` (rounded up to 4), entered in the ledger under its role and owner.
   * The label should read `Owner.part`: a GPU error names its owner.
   */
  createBuffer(label: string, bytes: number, role: BufferRole, options: { usage?: GPUBufferUsageFlags; owner?: string } = {}): GPUBuffer {
    this.check();
    const size = Math.max(16, Math.ceil(bytes / 4) * 4);
    if (size > this.limits.maxBufferSize)
      throw new EngineError(
        "OUT_OF_MEMORY",
        `Buffer ${label} needs ${size} bytes, the adapter allows ${this.limits.maxBufferSize}. Use a smaller model, context or budget.`,
        { size },
      );
    const usage = options.usage ?? GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = this.device.createBuffer({ label, size, usage });
    this.objectsCreated++;
    this.ledger.add(buffer, role, options.owner ?? label.split(".")[0] ?? label);
    return buffer;
  }

  /** Destroys the buffer and takes it out of the ledger. Twice is harmless. */
  destroyBuffer(buffer: GPUBuffer | undefined): void {
    if (!buffer) return;
    this.ledger.remove(buffer);
    buffer.destroy();
  }

  /** Destroys every live buffer of an owner, also those of a part whose set-up failed half-way. */
  destroyOwned(owner: string): void {
    for (const buffer of this.ledger.owned(owner)) this.destroyBuffer(buffer);
  }

  /** A fresh command buffer; call submit() on it once. */
  record(label?: string): Recorder {
    return new Recorder(this, this.counters, label);
  }

  write(buffer: GPUBuffer, offset: number, data: ArrayBufferView): void {
    this.device.queue.writeBuffer(buffer, offset, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  }

  /**
   * Copies a buffer to the CPU. For set-up, reports and tests: never on the token path, which has readback.ts.
   * @param bytes length from `offset`, a multiple of 4; the rest of the buffer by default
   */
  async read(buffer: GPUBuffer, offset = 0, bytes = buffer.size - offset): Promise<ArrayBuffer> {
    const target = this.createBuffer("Gpu.read", bytes, "readback", { usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    try {
      const encoder = this.device.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, offset, target, 0, bytes);
      this.device.queue.submit([encoder.finish()]);
      return await this.map(target, bytes);
    } finally {
      this.destroyBuffer(target);
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.device.destroy();
  }
}

/** The adapter's name as the driver tells it. */
function describeAdapter(info: GPUAdapterInfo | undefined): string {
  return [info?.vendor, info?.architecture, info?.device, info?.description].filter(Boolean).join(" ") || "unknown adapter";
}

/** True if the adapter computes on the processor. */
export function isSoftware(info: GPUAdapterInfo | undefined): boolean {
  return /swiftshader|llvmpipe|lavapipe|basic render/i.test(describeAdapter(info));
}

/** How long a device may take to say that it is lost after it broke a promise. */
const LOSS_TOLD_MS = 1000;

function faultError(error: GPUError): EngineError {
  const { message } = error;
  if (error instanceof GPUOutOfMemoryError)
    return new EngineError(
      "OUT_OF_MEMORY",
      `The GPU has no memory left: ${message}. Use a smaller model, context or budget, or close other pages that use the GPU.`,
      { message },
    );
  return new EngineError("INTERNAL", `The GPU refused a command: ${message}. This is a fault of the engine: please report it with the steps that led here.`, {
    message,
  });
}

/** Opens the best adapter. Throws NO_WEBGPU, NO_ADAPTER or ADAPTER_LIMITS. */
export async function openGpu(options: OpenOptions = {}): Promise<Gpu> {
  const gpu = options.gpu ?? (typeof navigator === "undefined" ? undefined : navigator.gpu);
  if (!gpu) {
    const insecure = typeof isSecureContext !== "undefined" && !isSecureContext;
    throw new EngineError(
      "NO_WEBGPU",
      insecure
        ? "WebGPU needs a secure context; this page is served over plain http. Open it over https or on localhost."
        : "This browser has no WebGPU (navigator.gpu is missing). Use Chrome or Edge 113+, Safari 26+ or Firefox 141+.",
      {
        insecure,
      },
    );
  }
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter)
    throw new EngineError("NO_ADAPTER", "WebGPU is there but offers no adapter. Turn hardware acceleration on, update the driver, or see chrome://gpu.");
  for (const [name, needed] of Object.entries(NEEDED)) {
    const found = adapter.limits[name as keyof typeof NEEDED];
    if (found < needed)
      throw new EngineError("ADAPTER_LIMITS", `The adapter's ${name} is ${found}, the engine needs ${needed}. Use another GPU or browser.`, {
        limit: name,
        found,
        expected: needed,
      });
  }
  const wanted = ["shader-f16", "subgroups", "timestamp-query"] as GPUFeatureName[];
  const device = await adapter
    .requestDevice({
      label: "Lacuna",
      requiredFeatures: wanted.filter((name) => adapter.features.has(name)),
      requiredLimits: Object.fromEntries(RAISED.map((name) => [name, adapter.limits[name]])),
    })
    .catch((cause: unknown) => {
      throw new EngineError(
        "NO_ADAPTER",
        `The adapter gives no device: ${String(cause)}. Close other pages that use the GPU, update the driver, or try another browser.`,
        {},
        { cause },
      );
    });
  return new Gpu(device, adapter.info, options.without);
}

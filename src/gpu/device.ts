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
    this.description = [info?.vendor, info?.architecture, info?.device, info?.description].filter(Boolean).join(" ") || "unknown adapter";
    this.software = /swiftshader|llvmpipe|lavapipe|basic render/i.test(this.description);
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
  }

  /** Calls back once if the device is lost, at once if it already is. */
  onLost(tell: (error: EngineError) => void): void {
    if (this.#lost) tell(this.#lost);
    else this.#onLost.add(tell);
  }

  /** Throws if the device is gone. */
  check(): void {
    if (this.#disposed) throw new EngineError("DISPOSED", "The engine was disposed. Load it again.");
    if (this.#lost) throw this.#lost;
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
      await target.mapAsync(GPUMapMode.READ);
      return target.getMappedRange().slice(0);
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
  const device = await adapter.requestDevice({
    label: "Lacuna",
    requiredFeatures: wanted.filter((name) => adapter.features.has(name)),
    requiredLimits: Object.fromEntries(RAISED.map((name) => [name, adapter.limits[name]])),
  });
  return new Gpu(device, adapter.info, options.without);
}

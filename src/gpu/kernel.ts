// kernel: turns WGSL files into a pipeline with an explicit layout, and buffers into bind groups made once.
// Leaves to others: what the shader computes, how many workgroups it needs.

import { EngineError } from "../errors";
import type { Gpu } from "./device";

/** How a shader uses a binding, in order of binding number (all in group 0). */
export type Binding = "uniform" | "read" | "write";

export interface KernelSpec {
  /** Stem of the shader file; also the label. */
  readonly name: string;
  /** Whole WGSL files, put one after the other: libraries first, the kernel last. */
  readonly code: readonly string[];
  readonly bindings: readonly Binding[];
  /** Values for the shader's `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Generated `const NAME = VALUEu;` lines put in front, for sizes of private arrays that WGSL wants literal. */
  readonly literals?: Readonly<Record<string, number>>;
}

/** A buffer, or a part of one (offset in bytes, a multiple of 256). */
export type BufferView = GPUBuffer | { readonly buffer: GPUBuffer; readonly offset: number; readonly size: number };

/** A compiled shader. Compilation starts at once and runs in the background; await gpu kernels with `ready`. */
export class Kernel {
  readonly ready: Promise<void>;
  readonly layout: GPUBindGroupLayout;
  #pipeline: GPUComputePipeline | undefined;

  constructor(
    private readonly gpu: Gpu,
    readonly spec: KernelSpec,
  ) {
    const { device } = gpu;
    this.layout = device.createBindGroupLayout({
      label: `${spec.name}.layout`,
      entries: spec.bindings.map((kind, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: kind === "uniform" ? "uniform" : kind === "read" ? "read-only-storage" : "storage" },
      })),
    });
    this.ready = this.#compile();
    this.ready.catch(() => {}); // awaited by whoever needs the kernel
  }

  get pipeline(): GPUComputePipeline {
    if (!this.#pipeline) throw new EngineError("INTERNAL", `Kernel ${this.spec.name} was used before it was compiled. Await its \`ready\` first.`);
    return this.#pipeline;
  }

  /** A bind group over the buffers, in binding order. Make it once, at set-up; never per token. */
  bind(buffers: readonly BufferView[]): GPUBindGroup {
    if (buffers.length !== this.spec.bindings.length)
      throw new EngineError("INTERNAL", `Kernel ${this.spec.name} has ${this.spec.bindings.length} bindings, got ${buffers.length} buffers.`);
    const most = this.gpu.limits.maxStorageBufferBindingSize;
    for (const view of buffers)
      if (view.size > most) {
        const buffer = "buffer" in view ? view.buffer : view;
        throw new EngineError(
          "OUT_OF_MEMORY",
          `${buffer.label} has ${view.size} bytes, one binding of this adapter takes ${most}. Use a shorter prompt, a smaller context or model.`,
          {
            found: view.size,
            expected: most,
          },
        );
      }
    this.gpu.objectsCreated++;
    return this.gpu.device.createBindGroup({
      label: this.spec.name,
      layout: this.layout,
      entries: buffers.map((view, binding) => ({ binding, resource: "buffer" in view ? { ...view } : { buffer: view } })),
    });
  }

  async #compile(): Promise<void> {
    const { device } = this.gpu;
    const { name, constants, literals } = this.spec;
    const front = Object.entries(literals ?? {}).map(([key, value]) => `const ${key} = ${value}u;`);
    const code = [this.gpu.features.f16 && this.spec.code.some((part) => part.includes("f16")) ? "enable f16;" : "", ...front, ...this.spec.code].join("\n");
    device.pushErrorScope("validation"); // told below, line by line
    const module = device.createShaderModule({ label: name, code });
    device.popErrorScope().catch(() => {}); // refused by a lost device, which check() tells
    try {
      this.#pipeline = await device.createComputePipelineAsync({
        label: name,
        layout: device.createPipelineLayout({ label: name, bindGroupLayouts: [this.layout] }),
        compute: { module, entryPoint: "main", ...(constants ? { constants: { ...constants } } : {}) },
      });
      this.gpu.objectsCreated++;
    } catch (cause) {
      this.gpu.check();
      const { messages } = await module.getCompilationInfo();
      const lines = code.split("\n");
      const told = messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}\n    ${lines[m.lineNum - 1] ?? ""}`).join("\n");
      throw new EngineError("SHADER", `Shader ${name} did not compile:\n${told || String(cause)}`, { kernel: name }, { cause });
    }
  }
}

/** Kernels by content: the same shader with the same constants is compiled once per device. */
export class KernelCache {
  readonly #kernels = new Map<string, Kernel>();

  constructor(private readonly gpu: Gpu) {}

  get(spec: KernelSpec): Kernel {
    const key = JSON.stringify([spec.name, spec.constants, spec.literals, spec.bindings, spec.code]);
    let kernel = this.#kernels.get(key);
    if (!kernel) this.#kernels.set(key, (kernel = new Kernel(this.gpu, spec)));
    return kernel;
  }

  /** Resolves when every kernel asked for so far is compiled; throws the first SHADER error. */
  async ready(tell?: (done: number, total: number) => void): Promise<void> {
    const all = [...this.#kernels.values()];
    let done = 0;
    await Promise.all(all.map((kernel) => kernel.ready.then(() => tell?.(++done, all.length))));
  }
}

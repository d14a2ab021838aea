// cache-kernel: what the wrappers of the paged cache's shaders share: literals, libraries, and the pool's bindings.

import basesLib from "../../shaders/lib/bases.wgsl?raw";
import cacheLib from "../../shaders/lib/cache.wgsl?raw";
import halfLib from "../../shaders/lib/half.wgsl?raw";
import noBases from "../../shaders/lib/no-bases.wgsl?raw";
import noSparse from "../../shaders/lib/no-sparse.wgsl?raw";
import poolRead from "../../shaders/lib/pool-read.wgsl?raw";
import poolRead3 from "../../shaders/lib/pool-read-3.wgsl?raw";
import poolWrite from "../../shaders/lib/pool-write.wgsl?raw";
import poolWrite3 from "../../shaders/lib/pool-write-3.wgsl?raw";
import sparseLib from "../../shaders/lib/sparse.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { Binding, BufferView, Kernel } from "../gpu/kernel";

/** What the cache's shaders are compiled for. */
export interface CacheGeometry {
  readonly headSize: number; // D
  readonly kvHeads: number; // G
  readonly group: number; // query heads per kv head
  /** Slots one workgroup of attention takes. */
  readonly unit: number;
  /** Pages per segment where the pool has several; 0 for a single segment. */
  readonly segmentPages: number;
  /** A format is sparse; without, kernels are compiled without what that needs. */
  readonly sparse?: boolean;
}

/** Segments a shader can bind beside its other buffers: eight storage buffers a stage, four of them and the bases taken. */
export const MOST_SEGMENTS = 3;

/** The pool's segments as a kernel binds them. */
export interface PoolBinding {
  readonly access: "read" | "write";
  readonly segments: readonly GPUBuffer[];
}

/** What a kernel binds behind its own buffers. */
export interface CacheExtras {
  /** A layer's calibrated bases (src/cache/bases.ts); without them the kernel is compiled without what needs them. */
  readonly bases?: BufferView | undefined;
  readonly pool?: PoolBinding;
}

/** A dispatch with everything bound. */
export interface BoundKernel {
  readonly kernel: Kernel;
  readonly group: GPUBindGroup;
}

/** Largest power of two that divides the head size: the Hadamard block. */
export function hadamardBlock(headSize: number): number {
  return headSize & -headSize;
}

export interface CacheKernelSpec {
  readonly name: string;
  readonly code: readonly string[];
  readonly bindings: readonly Binding[];
  readonly workgroup: number;
  /** Beside those of every cache kernel. */
  readonly literals?: Readonly<Record<string, number>>;
  /** Values for the shader's `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
}

/** Compiles (once) and binds one of the cache's shaders. */
export function bindCacheKernel(
  gpu: Gpu,
  geometry: CacheGeometry,
  spec: CacheKernelSpec,
  buffers: readonly BufferView[],
  { bases, pool }: CacheExtras = {},
): BoundKernel {
  const several = geometry.segmentPages > 0;
  const poolCode = pool ? [pool.access === "read" ? (several ? poolRead3 : poolRead) : several ? poolWrite3 : poolWrite] : [];
  const poolBindings: Binding[] = pool ? Array<Binding>(several ? MOST_SEGMENTS : 1).fill(pool.access) : [];
  const own: Binding[] = [...spec.bindings, ...(bases ? (["read"] as const) : [])];
  const kernel = gpu.kernels.get({
    name: spec.name,
    code: [halfLib, geometry.sparse ? sparseLib : noSparse, cacheLib, bases ? basesLib : noBases, ...spec.code, ...poolCode],
    bindings: [...own, ...poolBindings],
    ...(spec.constants && { constants: spec.constants }),
    literals: {
      D: geometry.headSize,
      G: geometry.kvHeads,
      GROUP: geometry.group,
      UNIT: geometry.unit,
      BLOCK: hadamardBlock(geometry.headSize),
      WG: spec.workgroup,
      ...spec.literals,
      ...(bases ? { BASES: spec.bindings.length } : {}),
      ...(pool ? { POOL: own.length, SEGMENT_PAGES: Math.max(1, geometry.segmentPages) } : {}),
    },
  });
  return { kernel, group: kernel.bind([...buffers, ...(bases ? [bases] : []), ...(pool?.segments ?? [])]) };
}
